"""Everything that the dashboards and the alerts look at, at once: two controllers, a worker, jobs of every fate.

Prometheus gets the targets and their labels as its discovery in a cluster finds them, so that the relabelling is real.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import yaml

from dev.cluster.control_plane import ControlPlane
from dev.machine.ports import free_port
from dev.postgres.server import Server
from tests.cluster.controllers import Controller, environment, holder, until
from tests.cluster.prometheus import Prometheus, prometheus

GONE_POD = "11111111-2222-3333-4444-555555555555"
MONTH_SECONDS = 30 * 86_400
HANDLERS = """
from pathlib import Path
from jobtide import Fail, Retry, Tide

tide = Tide()


@tide.job("thumbs")
def thumbs(payload):
    match payload.get("end"):
        case "fail":
            raise Fail("no use")
        case "retry":
            raise Retry("busy", after=0.1)


@tide.job("video")
def video(payload, ctx):
    while not Path(payload["file"]).exists():
        ctx.wait_cancelled(0.05)
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """What the tests ask."""

    prometheus: Prometheus
    namespace: str
    jobs: psycopg.Connection[Any]


@contextlib.contextmanager
def scene(plane: ControlPlane, anywhere: Any, server: Server, directory: Path, scraped: str) -> Iterator[Scene]:
    """Two controllers, a worker whose two slots are full, and a database that refuses connections.

    `scraped`: a configuration of Prometheus.
    """
    kubectl = replace(anywhere, namespace="dashboards")
    anywhere("create", "namespace", kubectl.namespace)
    with contextlib.ExitStack() as running:
        jobs = running.enter_context(psycopg.connect(server.dsn, autocommit=True))
        table = _Table(jobs)
        table.begin()
        worker_port = free_port()
        running.callback(kubectl, "delete", "jobworkerpools", "--all")  # later tests may watch all namespaces
        for pool in _pools(worker_port):
            assert kubectl.apply(pool).returncode == 0
        controllers = [running.enter_context(_controller(plane, kubectl, server, directory, n)) for n in (0, 1)]
        until(lambda: kubectl.run("get", "deployment", "thumbs-worker").returncode == 0)
        pod = _worker_pod(kubectl, "thumbs-worker-a")
        _worker_pod(kubectl, "thumbs-worker-b", nodeName="node-1")
        kubectl("delete", "pod", "thumbs-worker-b", "--wait=false")  # its node has no kubelet that ends it
        running.enter_context(_worker(pod, server, directory))
        _begin(kubectl, pod["metadata"]["name"])
        until(lambda: all(one.port for one in controllers))
        found = running.enter_context(prometheus(directory, _configuration(scraped, controllers, pod)))
        until(lambda: len([value for _, value in found.values("up") if value == 1]) == len(controllers) * 2 + 1)
        until(lambda: holder(kubectl))
        _live(found, kubectl, table, directory)
        yield Scene(found, kubectl.namespace, jobs)


def _live(found: Prometheus, kubectl: Any, table: _Table, directory: Path) -> None:
    """Lets happen what the panels show: first what begins a series, then what changes it."""
    for least in (10, 20):
        table.insert("thumbs", 10)
        table.insert("thumbs", 2, end="fail")
        table.insert("thumbs", 2, end="retry")
        until(lambda least=least: _total(found, 'jobtide_worker_jobs_total{outcome="completed"}') >= least)
    table.age_ended("failed")
    patch = {"spec": {"retention": {"completedSeconds": MONTH_SECONDS, "failedSeconds": MONTH_SECONDS}}}
    until(lambda: _total(found, "jobtide_deleted_jobs_total"))
    kubectl("patch", "jwp", "thumbs", "--type=merge", "--patch", json.dumps(patch))
    table.insert("video", 2, file=str(directory / "never"))
    until(lambda: table.count("video", "processing") == 2)
    table.insert("thumbs", 7)


def _total(found: Prometheus, selector: str) -> float:
    return sum(value for _, value in found.values(selector))


class _Table:
    """The jobs of one tenant."""

    def __init__(self, jobs: psycopg.Connection[Any]) -> None:
        self._jobs = jobs
        row = jobs.execute("INSERT INTO tenants (name) VALUES ('of dashboards') RETURNING id").fetchone()
        assert row is not None
        self._tenant = row[0]

    def begin(self) -> None:
        """Old ended jobs, jobs of a type without a pool, one whose worker is gone; and the table was vacuumed."""
        self._jobs.execute("DELETE FROM job_queue")
        self._jobs.execute("VACUUM job_queue")
        self.insert("thumbs", 3)
        self._jobs.execute("UPDATE job_queue SET status = 'completed', completed_at = now() - interval '60 days'")
        self.insert("vidoe", 5)
        self._jobs.execute("UPDATE job_queue SET created_at = now() - interval '60 days'")
        self.insert("thumbs", 1)
        self._jobs.execute(
            "UPDATE job_queue SET status = 'processing', worker_id = %s, attempts = 1 WHERE id = "
            "(SELECT id FROM job_queue WHERE type = 'thumbs' AND status = 'pending' LIMIT 1)",
            [f"jobtide:{GONE_POD}:1"],
        )

    def insert(self, type_: str, count: int, **payload: str) -> None:
        self._jobs.execute(
            "INSERT INTO job_queue (type, tenant_id, payload) SELECT %s, %s, %s FROM generate_series(1, %s)",
            [type_, self._tenant, json.dumps(payload), count],
        )

    def count(self, type_: str, status: str) -> int:
        row = self._jobs.execute(
            "SELECT count(*) FROM job_queue WHERE type = %s AND status = %s::job_status", [type_, status]
        ).fetchone()
        assert row is not None
        return int(row[0])

    def age_ended(self, status: str) -> None:
        """Makes the ended jobs older than any retention."""
        self._jobs.execute(
            "UPDATE job_queue SET created_at = now() - interval '60 days', completed_at = now() - interval '60 days' "
            "WHERE status = %s::job_status",
            [status],
        )


def _pools(worker_port: int) -> Iterator[dict[str, Any]]:
    port = {"name": "JOBTIDE_HTTP_PORT", "value": str(worker_port)}
    container = {"name": "worker", "image": "acme/jobs:1", "args": ["jobs:tide"], "env": [port]}
    yield _pool(
        "thumbs",
        container,
        types=["thumbs", "video"],
        maxWaitSeconds=1,
        maxReplicas=1,
        concurrency=2,
        retention={"completedSeconds": MONTH_SECONDS},
    )
    yield _pool("lost", container, types=["lost"], database="second")
    refused = {"resources": {"limits": {"cpu": "lots"}}}
    yield _pool("refused", {**container, **refused}, types=["refused"], minReplicas=1)


def _pool(name: str, container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [container]}}
    return {
        "apiVersion": "jobtide.dev/v1alpha1",
        "kind": "JobWorkerPool",
        "metadata": {"name": name},
        "spec": {**spec, "template": template},
    }


@contextlib.contextmanager
def _controller(
    plane: ControlPlane, kubectl: Any, server: Server, directory: Path, number: int
) -> Iterator[Controller]:
    """One that shows tenants and has a connection budget; its database `second` refuses connections."""
    databases = directory / "databases"
    for name, url in (("main", server.dsn), ("second", "postgresql://127.0.0.1:1/second")):
        (databases / name).mkdir(parents=True, exist_ok=True)
        (databases / name / "url").write_text(url)
    settings = {
        "JOBTIDE_POD_NAME": f"jobtide-{number}",
        "JOBTIDE_SHOW_TENANTS": "main",
        "JOBTIDE_CONNECTION_BUDGETS": '{"main": 40}',
    }
    env = {**environment(plane.kubeconfig, databases, kubectl.namespace), **settings}
    made = Controller(f"jobtide-{number}", env, directory / f"jobtide-{number}.log").start()
    try:
        yield made
    finally:
        made.stop(signal.SIGKILL)


def _worker_pod(kubectl: Any, name: str, **spec: str) -> dict[str, Any]:
    """A pod as the Deployment's template says: here no other controller makes it."""
    template = kubectl.get("deployment", "thumbs-worker")["spec"]["template"]
    metadata = {**template["metadata"], "name": name}
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**template["spec"], **spec}}
    done = kubectl.apply(made)
    assert done.returncode == 0, done.stderr
    pod: dict[str, Any] = kubectl.get("pod", name)
    return pod


@contextlib.contextmanager
def _worker(pod: dict[str, Any], server: Server, directory: Path) -> Iterator[None]:
    """The pod's process, with the environment that the controller gave it."""
    (directory / "jobs.py").write_text(HANDLERS)
    (container,) = pod["spec"]["containers"]
    given = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    del given["JOBTIDE_DATABASE_URL_FILE"]
    own = {
        "JOBTIDE_DATABASE_URL": server.dsn,
        "JOBTIDE_POD_UID": pod["metadata"]["uid"],
        "JOBTIDE_POD_NAME": pod["metadata"]["name"],
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")}
    command = [sys.executable, "-m", *container["command"], *container["args"]]
    with (directory / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, env={**inherited, **given, **own}, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def _begin(kubectl: Any, pod: str) -> None:
    """What a kubelet writes of a pod that is ready."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"phase": "Running", "conditions": [ready]}
    kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def _configuration(scraped: str, controllers: list[Controller], pod: dict[str, Any]) -> dict[str, Any]:
    """With the targets that Kubernetes' discovery would find; the controllers twice, as by two monitors."""
    of_controllers, of_workers = yaml.safe_load(scraped)["scrape_configs"]
    labels = {"app.kubernetes.io/name": "jobtide", "app.kubernetes.io/component": "controller"}
    own = {"namespace": pod["metadata"]["namespace"], "labels": labels}
    found = [_target({**own, "name": one.name}, {"name": "http", "containerPort": one.port}) for one in controllers]
    (port,) = pod["spec"]["containers"][0]["ports"]
    for job, targets in ((of_controllers, found), (of_workers, [_target(pod["metadata"], port), *found])):
        del job["kubernetes_sd_configs"]
        job["static_configs"] = targets
    again = {**of_controllers, "job_name": "jobtide-controllers-again"}
    return {"global": {"scrape_interval": "1s"}, "scrape_configs": [of_controllers, again, of_workers]}


def _target(metadata: dict[str, Any], port: dict[str, Any]) -> dict[str, Any]:
    """A port of a pod with the labels by which Prometheus' discovery describes it."""
    of_pod = {f"label_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}": value for name, value in metadata["labels"].items()}
    known = {"pod_name": metadata["name"], "namespace": metadata["namespace"], "pod_container_port_name": port["name"]}
    described = {f"__meta_kubernetes_{name}": value for name, value in known.items()}
    described |= {f"__meta_kubernetes_pod_{name}": value for name, value in of_pod.items()}
    return {"targets": [f"127.0.0.1:{port['containerPort']}"], "labels": described}
