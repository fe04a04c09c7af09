"""The program of `helm test`, with the arguments and rights of the chart: real API server, controller and table.

Kubernetes' controllers make the pool's pod and remove it, but no node runs it: a process stands for it, with the
arguments of the pool's template.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import make_conninfo

from dev.cluster.components import kubeconfig_text
from dev.cluster.control_plane import ControlPlane, control_plane
from dev.machine.private import write_private
from dev.postgres.server import Server
from dev.tools.toolchain import ensure_tools
from tests.cluster.conftest import CRD, Kubectl
from tests.cluster.controllers import replicas_of, until

CHART = Path(__file__).parents[2] / "charts/jobtide"
NO_TENANT = "00000000-0000-4000-8000-000000000000"


class Installation:
    """A release in the namespace of this test, of which only what `helm test` creates is applied."""

    def __init__(self, plane: ControlPlane, kubectl: Any, tmp_path: Path, tenant: str) -> None:
        self.kubectl = kubectl
        self.databases = tmp_path / "databases"
        self.workers = tmp_path / "workers"
        self._log = tmp_path / "selftest.log"
        self._values = {"tenantId": tenant, "timeoutSeconds": 60}
        self._plane = plane
        self._kubeconfig = tmp_path / "test.kubeconfig"
        self.workers.mkdir()

    def hooks(self) -> dict[str, dict[str, Any]]:
        helm = ensure_tools("helm")["helm"]
        command = [helm, "template", "tide", CHART, "--show-only=templates/test.yaml"]
        command += [f"--namespace={self.kubectl.namespace}", f"--set-json=test={json.dumps(self._values)}"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return {hook["kind"]: hook for hook in yaml.safe_load_all(text) if hook}

    def start(self, *, rights: bool = True, **values: Any) -> subprocess.Popen[bytes]:
        """The pod's command, as the pod's account."""
        self._values |= values
        hooks = self.hooks()
        pod = hooks.pop("Pod")
        if not rights:
            del hooks["RoleBinding"]
        done = self.kubectl.apply({"apiVersion": "v1", "kind": "List", "items": list(hooks.values())})
        assert done.returncode == 0, done.stderr
        account = pod["spec"]["serviceAccountName"]
        token = self.kubectl("create", "token", account).strip()
        config = json.loads(kubeconfig_text(name="test", url=self._plane.url, credentials=self._plane.credentials))
        config["users"] = [{"name": "test", "user": {"token": token}}]
        write_private(self._kubeconfig, json.dumps(config))
        (container,) = pod["spec"]["containers"]
        places = {"/var/run/jobtide/workers": str(self.workers), "/var/run/jobtide/databases": str(self.databases)}
        arguments = [_placed(argument, places) for argument in container["args"]]
        command = [sys.executable, "-m", "jobtide_controller", *container["command"][1:], *arguments]
        env = {**os.environ, "KUBECONFIG": str(self._kubeconfig)}
        with self._log.open("a") as log:
            return subprocess.Popen(command, env=env, stdout=log, stderr=log)

    def run(self, **values: Any) -> tuple[int, str]:
        """The exit code, and what it printed."""
        code = self.start(**values).wait(90)
        return code, self.words

    @property
    def words(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def pools(self) -> str:
        return self.kubectl("get", "jobworkerpools", "--output=name")

    @contextlib.contextmanager
    def worker(self, tmp_path: Path) -> Iterator[None]:
        """As the pod of the pool's template would run it."""
        pool = self.pool
        (container,) = pool["spec"]["template"]["spec"]["containers"]
        command = [sys.executable, "-m", "jobtide", "worker", *container["args"]]
        env = {
            **os.environ,
            "JOBTIDE_DATABASE_URL_FILE": str(self.workers / "url"),
            "JOBTIDE_TYPES": json.dumps(pool["spec"]["types"]),
            "JOBTIDE_HTTP_PORT": "0",
        }
        with (tmp_path / "worker.log").open("ab") as log:
            process = subprocess.Popen(command, env=env, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    @property
    def pool(self) -> dict[str, Any]:
        """Its manifest."""
        (container,) = self.hooks()["Pod"]["spec"]["containers"]
        (given,) = [argument for argument in container["args"] if argument.startswith("--pool=")]
        manifest: dict[str, Any] = json.loads(given.removeprefix("--pool="))
        return manifest


def _placed(argument: str, places: dict[str, str]) -> str:
    name, _, value = argument.partition("=")
    return f"{name}={places.get(value, value)}"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("controllers"), controllers=True) as running:
        kubectl = Kubectl(running.kubectl, running.kubeconfig)
        kubectl("apply", "--server-side", "-f", str(CRD))
        kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/jobworkerpools.jobtide.dev")
        yield running


@pytest.fixture(scope="module")
def anywhere(plane: ControlPlane) -> Kubectl:
    return Kubectl(plane.kubectl, plane.kubeconfig)


@pytest.fixture
def tenant(jobs: psycopg.Connection[Any]) -> str:
    row = jobs.execute("INSERT INTO tenants (name) VALUES ('test of an installation') RETURNING id::text").fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture
def login(server: Server) -> Callable[[str], str]:
    """The URL of a login of this group."""

    def make(group: str) -> str:
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            if not conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [f"test_{group}"]).fetchall():
                conn.execute(f"CREATE ROLE test_{group} LOGIN IN ROLE {group}")
        return make_conninfo(server.dsn, user=f"test_{group}")

    return make


@pytest.fixture
def installation(
    plane: ControlPlane, kubectl: Any, folder: Path, tmp_path: Path, tenant: str, login: Callable[[str], str]
) -> Installation:
    """With logins of the two groups, and no right beyond theirs."""
    made = Installation(plane, kubectl, tmp_path, tenant)
    (folder / "main/url").write_text(login("jobtide_controller"))
    (made.workers / "url").write_text(login("jobtide_worker"))
    return made


def steps(words: str) -> list[str]:
    """Ticks and crosses, with the times left out."""
    return [line.partition(" (")[0] for line in words.splitlines() if line[:1] in "✓✗"]


GOOD = [
    "✓ the database takes a job",
    "✓ the API server takes a pool",
    "✓ the controller reads the pool's queue",
    "✓ a worker comes",
    "✓ the worker does the job",
    "✓ the worker goes",
    "✓ pool and job are removed",
]


def jobs_left(jobs: psycopg.Connection[Any]) -> int:
    (count,) = jobs.execute("SELECT count(*) FROM job_queue").fetchone() or (None,)
    return int(count)


def test_a_test_after_one_that_was_killed_sees_a_worker_come_and_go_and_leaves_nothing(
    installation, controller, kubectl, jobs, tmp_path
):
    controller()
    killed = installation.start()
    until(lambda: replicas_of(kubectl, "tide-jobtide-test") == 1)
    killed.kill()
    killed.wait()
    assert (jobs_left(jobs), installation.pools()) == (1, "jobworkerpool.jobtide.dev/tide-jobtide-test\n")
    before = len(installation.words)

    running = installation.start()
    until(lambda: GOOD[2] in installation.words[before:])
    with installation.worker(tmp_path):
        assert running.wait(60) == 0, installation.words
    words = installation.words[before:]
    assert steps(words) == GOOD
    assert words.endswith("The installation works.\n")
    assert (jobs_left(jobs), installation.pools()) == (0, "")


def test_a_stopped_test_names_its_step_with_the_words_of_the_pool_and_removes_all(
    installation, controller, kubectl, jobs
):
    """As by a second `helm test`, or by one whose timeout has passed."""
    controller()
    running = installation.start()
    until(lambda: "✓ the controller reads" in installation.words)
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 1
    words = installation.words
    assert steps(words) == [*GOOD[:3], "✗ a worker comes: the test was stopped", GOOD[-1]]
    assert "    pool      " in words
    assert "1 pending" in words
    assert words.endswith("FAILED: a worker comes: the test was stopped\n")
    assert (jobs_left(jobs), installation.pools()) == (0, "")


def test_without_a_controller_the_test_ends_at_its_time_limit(installation, jobs):
    code, words = installation.run(timeoutSeconds=10)
    assert (code, steps(words)) == (
        1,
        [*GOOD[:2], "✗ the controller reads the pool's queue: not within 10 s", GOOD[-1]],
    )
    assert "no controller has reported on this pool yet" in words
    assert (jobs_left(jobs), installation.pools()) == (0, "")


def without_secret(installation: Installation) -> None:
    (installation.workers / "url").unlink()


def without_the_controllers_secret(installation: Installation) -> None:
    (installation.databases / "main/url").unlink()


def swapped_logins(installation: Installation) -> None:
    (installation.workers / "url").write_text((installation.databases / "main/url").read_text())


@pytest.mark.parametrize(
    ("spoil", "values", "words"),
    [
        pytest.param(
            without_secret,
            {},
            "Secret jobtide-worker-db with the key url is not in the release's namespace",
            id="no Secret of the workers",
        ),
        pytest.param(
            without_the_controllers_secret, {}, 'no database is called "main"', id="no Secret of the controller"
        ),
        pytest.param(swapped_logins, {}, "permission denied for table job_queue", id="the controller's login"),
        pytest.param(None, {"tenantId": NO_TENANT}, f"the table tenants has no id {NO_TENANT}", id="unknown tenant"),
    ],
)
def test_a_database_that_takes_no_job_is_the_first_step(installation, jobs, spoil, values, words):
    if spoil is not None:
        spoil(installation)
    code, printed = installation.run(**values)
    (line,) = steps(printed)
    assert (code, line.startswith("✗ the database takes a job: ")) == (1, True)
    assert words in line
    assert (jobs_left(jobs), installation.pools()) == (0, "")


def test_an_account_without_rights_is_the_second_step(installation, jobs):
    code, words = installation.run(rights=False)
    assert (code, steps(words)[:1]) == (1, GOOD[:1])
    assert "✗ the API server takes a pool: Forbidden: jobworkerpools.jobtide.dev" in words
    assert (jobs_left(jobs), installation.pools()) == (0, "")


def test_a_users_pool_with_the_tests_name_stays(installation, kubectl, pool, jobs):
    assert kubectl.apply(pool("tide-jobtide-test")).returncode == 0
    code, words = installation.run()
    assert (code, steps(words)[:1]) == (1, GOOD[:1])
    assert "✗ the API server takes a pool: there is a pool" in words
    assert "that is not of this test" in words
    assert (jobs_left(jobs), installation.pools()) == (0, "jobworkerpool.jobtide.dev/tide-jobtide-test\n")


def test_without_a_tenant_it_says_which_value_to_set(installation, jobs):
    code, words = installation.run(tenantId="")
    assert (code, words.count("\n")) == (2, 1)
    assert words.startswith("jobtide-controller selftest: test.tenantId is not set: set it to tenants.id")
    assert jobs_left(jobs) == 0
