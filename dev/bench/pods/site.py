"""Where the pods run: the stage, a namespace, a tenant, and views of the cluster and of the table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from dev.bench.pods.clock import database_offset_seconds
from dev.bench.pods.manifests import Json, plain_deployment, pool, worker_deployment
from dev.cluster.choose import choose_cluster
from dev.machine.wait import wait_until
from dev.stage.images import ensure_application_image
from dev.stage.job_table import JobTable
from dev.stage.kubectl import Kubectl
from dev.stage.stage import Stage, set_stage
from dev.stage.watch import Event, EventLog, KubectlSource
from jobtide.sql import load

SQL = "dev.bench.pods.sql"
APP = Path(__file__).parent / "app"
NAMESPACE = "bench-pods"


@dataclass(frozen=True, slots=True)
class Claim:
    """One job claimed by one pod. Times are by this machine's clock."""

    inserted_at: float
    claimed_at: float
    ended_at: float | None  # None: still running
    pod_uid: str


@dataclass(frozen=True, slots=True)
class Workers:
    """A Deployment of workers for one type of jobs, and the object to delete at the end."""

    type: str
    deployment: str
    owner: str  # as `kubectl delete` names it

    def is_scaled(self, event: Event, replicas: int) -> bool:
        return event.name == self.deployment and event.object["spec"]["replicas"] >= replicas

    def is_pod(self, event: Event) -> bool:
        """True if the event is of one of these pods; the Deployment's name is the prefix of theirs."""
        return event.name.startswith(f"{self.deployment}-")


@dataclass(slots=True)
class Site:
    """An empty place for measurements: makes workers and jobs, and reads what the cluster and the table show."""

    kubectl: Kubectl
    connection: psycopg.Connection[Any]
    tenant: UUID
    image: str
    deployments: EventLog
    pods: EventLog
    offset_seconds: float
    _numbers: Iterator[int] = field(default_factory=count)

    def pool(self, **spec: Any) -> Workers:
        """A new pool that is Ready, with no worker."""
        type_, manifest = self._manifest("pool", spec)
        workers = Workers(type_, worker_deployment(manifest), f"jobworkerpool/{manifest['metadata']['name']}")
        self._apply(manifest)
        self.kubectl("wait", workers.owner, "--namespace", NAMESPACE, "--for", "condition=Ready", "--timeout", "60s")
        self.deployments.first(f"the Deployment of {workers.owner}", lambda seen: seen.name == workers.deployment)
        return workers

    def plain(self, **spec: Any) -> Workers:
        """A Deployment that is scaled by hand."""
        type_, manifest = self._manifest("plain", spec)
        name = manifest["metadata"]["name"]
        workers = Workers(type_, name, f"deployment/{name}")
        self._apply(plain_deployment(manifest))
        self.deployments.first(f"Deployment {name}", lambda seen: seen.name == name)
        return workers

    def scale(self, workers: Workers, replicas: int) -> None:
        self.kubectl("scale", workers.owner, "--namespace", NAMESPACE, "--replicas", str(replicas))

    def insert(self, workers: Workers, seconds: Sequence[float]) -> float:
        """Inserts one job of each length in one transaction; returns the time of the commit."""
        self._execute("add", workers, seconds=list(seconds))
        return time.time()

    def claims(self, workers: Workers) -> list[Claim]:
        rows = self._execute("claims", workers)
        return [
            Claim(self._here(inserted), self._here(claimed), None if ended is None else self._here(ended), pod_uid)
            for _, inserted, claimed, pod_uid, ended in rows
        ]

    def claiming_pods(self, workers: Workers) -> int:
        """The number of different pods that have claimed a job of these workers."""
        return int(self._execute("pods", workers)[0][0])

    def jobs(self, workers: Workers, status: str) -> int:
        return int(self._execute("count", workers, status=status)[0][0])

    def forget(self, workers: Workers) -> None:
        """Deletes all jobs but those that run."""
        self._execute("forget", workers)

    def replicas(self, workers: Workers) -> int:
        """As in the last event of its Deployment."""
        events = [event for event in self.deployments.events if event.name == workers.deployment]
        return int(events[-1].object["spec"]["replicas"])

    def is_idle(self, workers: Workers) -> bool:
        """No job, no worker."""
        busy = self.jobs(workers, "pending") + self.jobs(workers, "processing")
        return not busy and self.replicas(workers) == 0 and self._is_gone(workers)

    def end(self, *done_with: Workers) -> None:
        """Deletes them and their pending jobs; returns when their pods have drained and ended."""
        for workers in done_with:
            self.forget(workers)
            self.kubectl("delete", workers.owner, "--namespace", NAMESPACE, "--wait=false")
        for workers in done_with:
            wait_until(f"the end of the pods of {workers.owner}", partial(self._is_gone, workers), reason=where_to_look)

    def _is_gone(self, workers: Workers) -> bool:
        """True if the last event of each of its pods is DELETED."""
        last = {event.name: event.type for event in self.pods.events if workers.is_pod(event)}
        return all(type_ == "DELETED" for type_ in last.values())

    def _manifest(self, kind: str, spec: Json) -> tuple[str, Json]:
        number = next(self._numbers)
        type_ = f"bench.{number:02}"
        return type_, pool(NAMESPACE, f"{kind}-{number:02}", self.image, type_, **spec)

    def _apply(self, manifest: Json) -> None:
        self.kubectl.apply(json.dumps(manifest), namespace=NAMESPACE)

    def _execute(self, statement: str, workers: Workers, **parameters: object) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(
            load(SQL, statement), {"tenant": self.tenant, "type": workers.type, **parameters}
        )
        return cursor.fetchall() if cursor.description else []

    def _here(self, database_time: float) -> float:
        return database_time + self.offset_seconds


def where_to_look() -> str:
    """The reason that an error of a wait gives."""
    return f"see `kubectl get jwp,deployments,pods --namespace {NAMESPACE}`"


@contextmanager
def open_site() -> Iterator[Site]:
    """An empty namespace under a running controller, from any state of the machine; removed at the end."""
    stage = set_stage()
    image = ensure_application_image(choose_cluster(), "jobtide-bench-pods", APP, stage.images.worker)
    table = JobTable(stage.postgres)
    table.clear()
    _delete_namespace(stage)
    stage.make_namespace(NAMESPACE)
    (tenant,) = table.add_tenants([NAMESPACE])
    path = f"namespaces/{NAMESPACE}"
    try:
        with (
            stage.postgres.connect("main") as connection,
            EventLog(KubectlSource(stage.kubectl), f"/apis/apps/v1/{path}/deployments") as deployments,
            EventLog(KubectlSource(stage.kubectl), f"/api/v1/{path}/pods") as pods,
        ):
            offset_seconds = database_offset_seconds(connection)
            yield Site(stage.kubectl, connection, tenant, image, deployments, pods, offset_seconds)
    finally:
        _delete_namespace(stage)
        table.clear()
        stage.postgres.close()


def _delete_namespace(stage: Stage) -> None:
    stage.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout", "120s")
