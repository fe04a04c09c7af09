"""Pods that live on without their database: other workers do their jobs, and their late results are refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dev.cluster.choose import choose_cluster
from dev.machine.shell import run
from dev.stage.node import local_node
from dev.stage.processes import cut_off, processes_of
from jobtide_controller.render.deployment import POOL_LABEL
from tests.e2e.work import Work, wait_for

POSTGRES_PORTS = (5432,)
RUNS_SECONDS = 20  # longer than it takes to cut off both pods
CLAIMED, LOST = "jobtide_worker_claimed_jobs_total", "jobtide_worker_leases_lost_total"
READ = "import sys, urllib.request as r; print(r.build_opener(r.ProxyHandler({})).open(sys.argv[1]).read().decode())"
SHORT_LEASE = {"name": "JOBTIDE_LEASE_SECONDS", "value": "6"}


@dataclass(frozen=True, slots=True)
class Running:
    """A job, its pod, and the idle pod of the same pool."""

    job: UUID
    pod: str
    pod_uid: str
    idle_uid: str


def test_the_late_result_of_a_partitioned_pod_is_refused_by_the_fence(work: Work) -> None:
    make_workers(work, "lease", env=[SHORT_LEASE])
    make_workers(work, "forced", env=[])
    expiring, forced = begin(work, "lease"), begin(work, "forced")

    with cut_off(expiring.pod_uid, POSTGRES_PORTS):
        # The kubelet would end the process with the pod. While it is frozen, there is no tunnel to the database.
        with local_node(choose_cluster()).frozen("kubelet"):
            with cut_off(forced.pod_uid, POSTGRES_PORTS):
                work.kubectl("delete", "pod", forced.pod, "--force", "--grace-period=0")
                wait_for("the other's claim", lambda: metric(forced.idle_uid, CLAIMED) == 1)
            wait_for("the late result being refused", lambda: metric(forced.pod_uid, LOST) == 1)
        work.wait_completed(forced.job)
        (expired_row,) = work.wait_completed(expiring.job)
    wait_for("the lost lease being counted", lambda: metric(expiring.pod_uid, LOST) == 1)

    for running in (forced, expiring):
        assert len(set(holders(work, running.job))) == 2
        ended = work.history([running.job])[running.job][-1]
        assert (ended.became, ended.pod_uid) == ("completed", holders(work, running.job)[-1])
    assert work.row(expiring.job) == expired_row
    assert (expired_row.attempts, expired_row.result) == (1, {"held_seconds": 0})


def make_workers(work: Work, pool: str, *, env: list[dict[str, str]]) -> None:
    both = {"minReplicas": 2, "maxReplicas": 2, "drainSeconds": 60}
    work.apply_pool(pool, [f"partition-{pool}.hold"], container={"env": env}, **both)
    wait_for("two ready workers", lambda: len(work.ready_pods(pool)) == 2)


def begin(work: Work, pool: str) -> Running:
    (job,) = work.insert(f"partition-{pool}.hold", {"first_seconds": RUNS_SECONDS, "seconds": 0})
    (uid,) = wait_for("the job being run", lambda: holders(work, job))
    names = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in work.pods() if pool_of(pod) == pool}
    (idle_uid,) = names.keys() - {uid}
    return Running(job, names[uid], uid, idle_uid)


def pool_of(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["labels"][POOL_LABEL])


def holders(work: Work, job: UUID) -> list[str]:
    """The pods that claimed it, in order."""
    return [change.pod_uid for change in work.history([job])[job] if change.became == "processing"]


def metric(pod_uid: str, name: str) -> int:
    """The pod's own counter: Kubernetes may not know the pod any more."""
    network = f"--net=/proc/{processes_of(pod_uid)[0].pid}/ns/net"
    text = run(["nsenter", network, sys.executable, "-c", READ, "http://127.0.0.1:8080/metrics"])
    return sum(map(int, re.findall(rf"^{name}\S* (\d+)$", text, re.MULTILINE)))
