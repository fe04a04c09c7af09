"""Two controllers while jobs run and wait: when the leader fails in any way, the other one continues its work."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from uuid import UUID

import pytest

from dev.stage.guard import send
from dev.stage.processes import Process, cut_off, processes_of
from dev.stage.stage import RELEASE, SYSTEM_NAMESPACE, Stage
from dev.stage.watch import Event, EventLog, KubectlSource
from tests.e2e.work import UNTIL_LET_GO, Work, wait_for

API_SERVER_PORTS = (443, 6443)
TAKEOVER_SECONDS = 20  # 9 by the lease's times; machines that run tests stand still at times


@pytest.fixture(scope="module", autouse=True)
def two_controllers(stage: Stage) -> Iterator[None]:
    stage.change("replicas=2")
    yield
    stage.change("replicas=1")


@pytest.fixture
def lease(stage: Stage) -> Iterator[EventLog]:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM_NAMESPACE}/leases"
    with EventLog(KubectlSource(stage.kubectl), path, fieldSelector=f"metadata.name={RELEASE}") as lease:
        yield lease


@pytest.fixture
def deployment(work: Work) -> Iterator[EventLog]:
    with work.watch("deployments") as deployment:
        yield deployment


def test_a_leader_that_is_killed_at_each_start_is_replaced_by_the_other(
    work: Work, lease: EventLog, deployment: EventLog
) -> None:
    jobs = begin(work, deployment, "killed")
    leader, uid = leader_of(work, lease)
    (process,) = controllers_of(uid)

    killed_at = time.time()
    send(process.pid, signal.SIGKILL)
    jobs += work.insert("killed.hold", {"seconds": 0}, count=2)
    again = wait_for("its container starting again", lambda: [new for new in controllers_of(uid) if new != process])
    send(again[0].pid, signal.SIGKILL)

    assert wait_taken(lease, leader) - killed_at < TAKEOVER_SECONDS
    assert wait_scaled(deployment, 4) - killed_at < TAKEOVER_SECONDS
    assert_nothing_lost_nor_scaled_twice(work, jobs, deployment)


def test_a_leader_whose_pod_is_deleted_hands_over_at_once(work: Work, lease: EventLog, deployment: EventLog) -> None:
    jobs = begin(work, deployment, "handover")
    leader, _ = leader_of(work, lease)

    work.stage.kubectl("delete", "pod", leader, "--namespace", SYSTEM_NAMESPACE, "--wait=false")
    jobs += work.insert("handover.hold", {"seconds": 0}, count=2)

    wait_taken(lease, leader)
    assert is_released(lease, leader), "the other one waited for the end of the lease"
    assert_nothing_lost_nor_scaled_twice(work, jobs, deployment)


def test_a_leader_cut_off_from_the_api_server_stops_before_the_other_starts(
    work: Work, lease: EventLog, deployment: EventLog
) -> None:
    jobs = begin(work, deployment, "isolated")
    leader, uid = leader_of(work, lease)

    cut_at = time.time()
    with cut_off(uid, API_SERVER_PORTS):
        jobs += work.insert("isolated.hold", {"seconds": 0}, count=2)
        taken_at = wait_taken(lease, leader)
        scaled_at = wait_scaled(deployment, 4)

    assert_nothing_lost_nor_scaled_twice(work, jobs, deployment)
    assert cut_at < wait_for("its log of the end of its leadership", lambda: stopped_at(work, leader)) < taken_at
    assert taken_at - cut_at < TAKEOVER_SECONDS
    assert scaled_at - cut_at < TAKEOVER_SECONDS
    assert leader_of(work, lease)[0] != leader


def begin(work: Work, deployment: EventLog, pool: str) -> list[UUID]:
    """Two workers, each with a job that goes on. From then on there is one worker for each job."""
    type_ = f"{pool}.hold"
    work.apply_pool(pool, [type_], jobsPerWorker=1, maxReplicas=8, scaleDown={"stabilizationSeconds": 120})
    jobs = work.insert(type_, UNTIL_LET_GO, count=2)
    wait_for("two jobs being run", lambda: len(work.history(jobs)) == 2)
    wait_scaled(deployment, 2)
    return jobs


def assert_nothing_lost_nor_scaled_twice(work: Work, jobs: list[UUID], deployment: EventLog) -> None:
    wait_scaled(deployment, 4)
    work.let_go()
    rows = work.wait_completed(*jobs)
    assert [row.attempts for row in rows] == [1] * len(jobs)
    numbers = [event.object["spec"]["replicas"] for event in deployment.events]
    changes = [after for before, after in pairwise([0, *numbers]) if after != before]
    assert changes == [2, 4]


def wait_scaled(deployment: EventLog, replicas: int) -> float:
    """The time of the event that shows so many replicas."""
    return deployment.first(f"{replicas} replicas", lambda event: event.object["spec"]["replicas"] == replicas).at


def leader_of(work: Work, lease: EventLog) -> tuple[str, str]:
    """The name and the UID of the leader's pod."""
    name = lease.wait("a leader", lambda events: holder(events[-1]) if events else None)
    place = ("--namespace", SYSTEM_NAMESPACE)
    return name, work.stage.kubectl("get", "pod", name, *place, "--output", "jsonpath={.metadata.uid}")


def controllers_of(pod_uid: str) -> list[Process]:
    return processes_of(pod_uid, "jobtide-controller")


def wait_taken(lease: EventLog, before: str) -> float:
    """When another controller took the lease, by the clock of that controller."""

    def taken(events: list[Event]) -> float | None:
        latest = events[-1].object["spec"]
        if latest["holderIdentity"] in {"", before}:
            return None
        return datetime.fromisoformat(latest["acquireTime"]).timestamp()

    return lease.wait(f"another leader than {before}", taken)


def is_released(lease: EventLog, before: str) -> bool:
    """True if the leader itself gave the lease up before another took it."""
    holders = [holder(event) for event in lease.events]
    last = max(place for place, name in enumerate(holders) if name == before)
    return holders[last + 1] == ""


def holder(lease: Event) -> str:
    return str(lease.object["spec"]["holderIdentity"])


def stopped_at(work: Work, leader: str) -> float | None:
    lines = work.stage.kubectl("logs", leader, "--namespace", SYSTEM_NAMESPACE).splitlines()
    changes = [line for line in map(json.loads, lines) if "leading" in line]
    return None if changes[-1]["leading"] else datetime.fromisoformat(changes[-1]["time"]).timestamp()
