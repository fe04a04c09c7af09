"""A real API server and a real PostgreSQL for the whole run, and a namespace for each test."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dev.cluster.control_plane import ControlPlane, control_plane
from dev.postgres.server import Server
from jobtide.schema import apply
from jobtide_controller.kube.api.client import Api, load_configuration
from tests.cluster.bench import Bench
from tests.cluster.controllers import Controller, environment, replicas_of
from tests.cluster.faults import FaultProxy

CRD = Path(__file__).parents[2] / "crds" / "jobworkerpools.yaml"

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl against one API server, in one namespace."""

    binary: Path
    kubeconfig: Path
    namespace: str = "default"

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.binary), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        return subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """The output; the test fails if kubectl fails."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, manifest: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("apply", "-f", "-", *arguments, stdin=json.dumps(manifest))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", kind, name, "-o", "json"))
        return found


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        kubectl = Kubectl(running.kubectl, running.kubeconfig)
        kubectl("apply", "--server-side", "-f", str(CRD))
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/jobworkerpools.jobtide.dev")
        yield running


@pytest.fixture(scope="session")
def anywhere(plane: ControlPlane) -> Kubectl:
    """In the namespace `default`, for tests that leave nothing behind."""
    return Kubectl(plane.kubectl, plane.kubeconfig)


@pytest.fixture
def kubectl(anywhere: Kubectl) -> Kubectl:
    """In a namespace of this test alone."""
    name = f"test-{next(_numbers)}"
    anywhere("create", "namespace", name)
    return replace(anywhere, namespace=name)


@pytest.fixture
def pool() -> Callable[..., dict[str, Any]]:
    """A minimal pool, with some fields of its spec replaced."""

    def make(name: str = "thumbs", **spec: Any) -> dict[str, Any]:
        template = {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]}}
        return {
            "apiVersion": "jobtide.dev/v1alpha1",
            "kind": "JobWorkerPool",
            "metadata": {"name": name},
            "spec": {"types": ["thumbs"], "template": template, **spec},
        }

    return make


@pytest.fixture
async def api(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    made = Api(await load_configuration())
    yield made
    await made.close()


@pytest.fixture
async def bench(api: Api, kubectl: Any) -> Bench:
    return Bench(api, kubectl)


@pytest.fixture
def worker(pool: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A pool whose worker has these environment variables."""

    def make(**env: str) -> dict[str, Any]:
        entries = [{"name": name, "value": value} for name, value in env.items()]
        container = {"name": "worker", "image": "acme/jobs:1", "env": entries}
        return pool(template={"spec": {"containers": [container]}})

    return make


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server(version=18) as running:
        apply(running.dsn, roles=True)
        yield running


@pytest.fixture
def jobs(server: Server) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute("DELETE FROM job_queue")
        yield conn


@pytest.fixture
def insert(jobs: psycopg.Connection[Any]) -> Callable[..., None]:
    row = jobs.execute("INSERT INTO tenants (name) VALUES ('a tenant') RETURNING id").fetchone()
    assert row is not None
    tenant_id = row[0]

    def some(count: int, *, type_: str = "thumbs", status: str = "pending", worker_id: str | None = None) -> None:
        jobs.execute(
            "INSERT INTO job_queue (type, tenant_id, payload, status, worker_id, attempts) "
            "SELECT %s, %s, '{}', %s::job_status, %s, 1 FROM generate_series(1, %s)",
            [type_, tenant_id, status, worker_id, count],
        )

    return some


@pytest.fixture
def folder(tmp_path: Path, server: Server, jobs: psycopg.Connection[Any]) -> Path:
    """The controllers' databases: one, whose table is empty."""
    assert jobs.execute("SELECT count(*) FROM job_queue").fetchone() == (0,)
    configured = tmp_path / "databases" / "main"
    configured.mkdir(parents=True)
    (configured / "url").write_text(server.dsn)
    return configured.parent


@pytest.fixture
def controller(
    plane: ControlPlane, kubectl: Kubectl, folder: Path, tmp_path: Path
) -> Iterator[Callable[..., Controller]]:
    """Starts one more controller; all end with the test."""
    made: list[Controller] = []

    def start(name: str = "jobtide-0", python: str | Path = sys.executable, **settings: str) -> Controller:
        env = {**environment(plane.kubeconfig, folder, kubectl.namespace), "JOBTIDE_POD_NAME": name, **settings}
        made.append(Controller(name, env, tmp_path / f"{name}.log", python).start())
        return made[-1]

    yield start
    for one in made:
        if one.is_running:
            one.stop(signal.SIGKILL)
        print(f"{one.name} ended its log with:", one.words[-10_000:], sep="\n")  # noqa: T201 - pytest shows it if the test failed


@pytest.fixture
def replicas(kubectl: Kubectl) -> Callable[[], int | None]:
    return lambda: replicas_of(kubectl)


@pytest.fixture
def proxy(plane: ControlPlane, tmp_path: Path) -> Iterator[Callable[[str], FaultProxy]]:
    """A proxy to the API server for each controller, which can inject faults."""
    with ExitStack() as running:
        yield lambda name: running.enter_context(FaultProxy(name, plane, tmp_path))
