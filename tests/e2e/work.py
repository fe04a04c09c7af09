"""What a test of the whole does: makes pools, inserts jobs, breaks something, and waits for what must follow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid4

from dev.demo.job_table import JobTable
from dev.demo.pools import POOL_LABEL, Condition, Pool, look
from dev.demo.stage import Stage
from dev.demo.verify import Row
from dev.demo.workload import DemoJob

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Work:
    """One namespace, one tenant."""

    stage: Stage
    table: JobTable
    namespace: str
    tenant: UUID
    image: str

    def apply_pool(self, name: str, types: Sequence[str], **spec: Any) -> None:
        """A pool of one worker for one job at a time, unless `spec` says otherwise."""
        container = {"name": "worker", "image": self.image, "resources": {"requests": {"cpu": "10m"}}}
        pool = {
            "apiVersion": "jobtide.dev/v1alpha1",
            "kind": "JobWorkerPool",
            "metadata": {"name": name},
            "spec": {
                "types": list(types),
                "maxWaitSeconds": 5,
                "maxReplicas": 1,
                "concurrency": 1,
                "drainSeconds": 20,
                "scaleDown": {"stabilizationSeconds": 5},
                "template": {"spec": {"containers": [container]}},
                **spec,
            },
        }
        self.stage.kubectl.apply(json.dumps(pool), namespace=self.namespace)

    def insert(self, type_: str, payload: Any, *, count: int = 1) -> list[UUID]:
        jobs = [DemoJob(uuid4(), self.tenant, type_, payload) for _ in range(count)]
        self.table.insert(jobs)
        return [job.id for job in jobs]

    def row(self, job: UUID) -> Row:
        return self.table.rows([self.tenant])[job]

    def wait_processing(self, job: UUID) -> str:
        """The name of a pod that is ready while the job runs."""
        wait_for("the job being run", lambda: self.row(job).status == "processing")
        return wait_for("a ready worker", lambda: next(iter(self.ready_pods()), None))

    def wait_completed(self, *jobs: UUID, seconds: float = 60) -> list[Row]:
        """Their rows. Each ended once, or the test fails here."""

        def ended() -> list[Row] | None:
            rows = self.table.rows([self.tenant])
            return [rows[job] for job in jobs] if all(rows[job].status == "completed" for job in jobs) else None

        rows = wait_for("the jobs being completed", ended, seconds=seconds)
        assert [row.accepted_ends for row in rows] == [1] * len(rows)
        return rows

    def pods(self) -> list[dict[str, Any]]:
        return list(self.kubectl_json("get", "pods", "--selector", POOL_LABEL)["items"])

    def ready_pods(self) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.pods()
            if "deletionTimestamp" not in pod["metadata"]
            and any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in pod["status"].get("conditions", [])
            )
        ]

    def pool(self, name: str) -> Pool:
        return next(pool for pool in look(self.stage.kubectl, self.namespace).pools if pool.name == name)

    def wait_condition(self, pool: str, condition: str, status: str, reason: str, *, seconds: float = 30) -> Condition:
        def found() -> Condition | None:
            seen = self.pool(pool).conditions.get(condition)
            return seen if seen is not None and (seen.status, seen.reason) == (status, reason) else None

        return wait_for(f"{pool} saying {condition}={status} for {reason}", found, seconds=seconds)

    def kubectl(self, *arguments: str) -> str:
        return self.stage.kubectl("--namespace", self.namespace, *arguments)

    def kubectl_json(self, *arguments: str) -> Any:
        return json.loads(self.kubectl(*arguments, "--output", "json"))


def wait_for(what: str, look_for: Callable[[], Found | None], *, seconds: float = 60) -> Found:
    """The first true value; fails the test at the deadline."""
    deadline = time.monotonic() + seconds
    while not (found := look_for()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.25)
    return found
