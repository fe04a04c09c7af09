"""What an end-to-end test does: makes pools, inserts jobs, and waits for what must follow."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid4

from dev.machine.wait import wait_until
from dev.stage.job_table import JobTable, NewJob, Row
from dev.stage.pools import Condition, Pool, is_ready, take_snapshot
from dev.stage.stage import Stage
from dev.stage.watch import EventLog, KubectlSource
from jobtide_controller.render.deployment import POOL_LABEL

Found = TypeVar("Found")
PATIENCE_SECONDS = 120.0  # far longer than anything takes: machines that run tests stand still at times
GO = "/tmp/go"
UNTIL_LET_GO = {"file": GO}  # the payload of a job that runs until `let_go`
HISTORY = """
SELECT job_id, became::text, split_part(worker_id, ':', 2), extract(EPOCH FROM at)::float8
FROM jobtide_demo.transitions WHERE job_id = ANY(%s) ORDER BY at
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A job's status changed."""

    became: str
    pod_uid: str  # of the last claim
    at: float  # seconds since the epoch, by the database's clock


@dataclass(frozen=True, slots=True)
class Work:
    """One namespace, one tenant."""

    stage: Stage
    table: JobTable
    namespace: str
    tenant: UUID
    image: str

    def apply_pool(
        self, name: str, types: Sequence[str], *, container: Mapping[str, Any] | None = None, **spec: Any
    ) -> None:
        """A pool of one worker for one job at a time; `spec` and `container` replace fields."""
        resources = {"requests": {"cpu": "10m"}}
        container = {"name": "worker", "image": self.image, "resources": resources, **(container or {})}
        pool = {
            "apiVersion": "jobtide.dev/v1alpha1",
            "kind": "JobWorkerPool",
            "metadata": {"name": name},
            "spec": {
                "types": list(types),
                "maxReplicas": 1,
                "concurrency": 1,
                "drainSeconds": 20,
                "scaleDown": {"stabilizationSeconds": 5},
                "template": {"spec": {"containers": [container]}},
                **({} if "jobsPerWorker" in spec else {"maxWaitSeconds": 5}),
                **spec,
            },
        }
        self.stage.kubectl.apply(json.dumps(pool), namespace=self.namespace)

    def insert(self, type_: str, payload: Any, *, count: int = 1) -> list[UUID]:
        return self.insert_each(type_, [payload] * count)

    def insert_each(self, type_: str, payloads: Iterable[Any]) -> list[UUID]:
        jobs = [NewJob(uuid4(), self.tenant, type_, payload) for payload in payloads]
        self.table.insert(jobs)
        return [job.id for job in jobs]

    def row(self, job: UUID) -> Row:
        return self.table.rows([self.tenant])[job]

    def history(self, jobs: Iterable[UUID]) -> dict[UUID, list[Change]]:
        """Every change of the status of these jobs, in order."""
        changes: defaultdict[UUID, list[Change]] = defaultdict(list)
        with self.table.postgres.connect(self.table.database) as conn:
            for job, *change in conn.execute(HISTORY, [list(jobs)]):
                changes[job].append(Change(*change))
        return changes

    def wait_processing(self, job: UUID) -> str:
        """The name of a pod that is ready while the job runs."""
        wait_for("the job being run", lambda: self.row(job).status == "processing")
        return wait_for("a ready worker", lambda: next(iter(self.ready_pods()), None))

    def watch(self, resource: str) -> EventLog:
        """All changes of this namespace's `pods` or `deployments`."""
        group = {"pods": "/api/v1", "deployments": "/apis/apps/v1"}[resource]
        return EventLog(KubectlSource(self.stage.kubectl), f"{group}/namespaces/{self.namespace}/{resource}")

    def wait_completed(self, *jobs: UUID, within_seconds: float = PATIENCE_SECONDS) -> list[Row]:
        """The rows of these jobs; the test fails if one did not end exactly once."""

        def ended() -> list[Row] | None:
            rows = self.table.rows([self.tenant])
            return [rows[job] for job in jobs] if all(rows[job].status == "completed" for job in jobs) else None

        rows = wait_for("the jobs being completed", ended, within_seconds=within_seconds)
        assert [row.accepted_ends for row in rows] == [1] * len(rows)
        return rows

    def let_go(self) -> None:
        """Ends the jobs with UNTIL_LET_GO that run now, in pods that drain too."""
        for pod in self.pods():
            if any("running" in container["state"] for container in pod["status"].get("containerStatuses", ())):
                self.kubectl("exec", pod["metadata"]["name"], "--", "touch", GO)

    def pods(self) -> list[dict[str, Any]]:
        return list(self.kubectl_json("get", "pods", "--selector", POOL_LABEL)["items"])

    def ready_pods(self, pool: str | None = None) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.pods()
            if pool in {None, pod["metadata"]["labels"][POOL_LABEL]}
            and "deletionTimestamp" not in pod["metadata"]
            and is_ready(pod)
        ]

    def pool(self, name: str) -> Pool:
        return next(pool for pool in take_snapshot(self.stage.kubectl, self.namespace).pools if pool.name == name)

    def wait_condition(
        self, pool: str, condition: str, status: str, reason: str, *, within_seconds: float = PATIENCE_SECONDS
    ) -> Condition:
        def found() -> Condition | None:
            seen = self.pool(pool).conditions.get(condition)
            return seen if seen is not None and (seen.status, seen.reason) == (status, reason) else None

        return wait_for(f"{condition}={status} of {pool} with reason {reason}", found, within_seconds=within_seconds)

    def kubectl(self, *arguments: str) -> str:
        return self.stage.kubectl("--namespace", self.namespace, *arguments)

    def kubectl_json(self, *arguments: str) -> Any:
        return json.loads(self.kubectl(*arguments, "--output", "json"))


def wait_for(
    what: str,
    look_for: Callable[[], Found | None],
    *,
    within_seconds: float = PATIENCE_SECONDS,
    reason: Callable[[], str] = str,
) -> Found:
    """Polls four times a second: most conditions run kubectl, which costs a core."""
    return wait_until(what, look_for, within_seconds=within_seconds, poll_seconds=0.25, reason=reason)
