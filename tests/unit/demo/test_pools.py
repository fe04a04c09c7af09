from __future__ import annotations

from typing import Any

import pytest

from dev.demo.outage import Outage
from dev.stage.pools import Snapshot, snapshot_of

SECRET = "hunter2hunter2"


def pool(name: str, *, desired: int = 0, reachable: str = "True", message: str = "") -> dict[str, Any]:
    return {
        "kind": "JobWorkerPool",
        "metadata": {"name": name},
        "status": {
            "desiredReplicas": desired,
            "readyReplicas": 0,
            "reason": "Steady",
            "display": {"pending": "12", "oldest": "3s", "busy": "0"},
            "conditions": [{"type": "DatabaseReachable", "status": reachable, "reason": "Any", "message": message}],
        },
    }


def pod(pool: str, *, ready: bool = True, phase: str = "Running", leaving: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": f"{pool}-pod", "labels": {"jobtide.dev/pool": pool}}
    if leaving:
        metadata["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"kind": "Pod", "metadata": metadata, "status": {"phase": phase, "conditions": conditions}}


def test_a_snapshot_counts_workers_of_pools_and_no_other_pods() -> None:
    stranger = {"kind": "Pod", "metadata": {"name": "corpus"}, "status": {"phase": "Running"}}

    seen = snapshot_of(
        [pool("docs", desired=2), pod("docs"), pod("docs", ready=False), pod("docs", leaving=True), stranger]
    )

    assert (seen.workers, seen.ready) == (3, 2)
    assert (seen.pools[0].desired, seen.pools[0].workers) == (2, 2)


def test_a_pod_that_has_ended_is_no_worker() -> None:
    assert snapshot_of([pool("docs"), pod("docs", phase="Failed"), pod("docs", phase="Succeeded")]).workers == 0


def test_a_pool_without_a_status_is_shown() -> None:
    seen = snapshot_of([{"kind": "JobWorkerPool", "metadata": {"name": "new"}}])

    assert seen.pools[0].shown[0] == "new"
    assert not seen.pools[0].is_("DatabaseReachable", "True")


def down(desired: int, workers: int, message: str = "connection refused") -> Snapshot:
    return snapshot_of([pool("docs", desired=desired, reachable="False", message=message), *[pod("docs")] * workers])


def up(desired: int, workers: int) -> Snapshot:
    return snapshot_of([pool("docs", desired=desired), *[pod("docs")] * workers])


@pytest.mark.parametrize(
    ("snapshots", "fault"),
    [
        pytest.param([down(3, 3), down(3, 3), up(3, 3)], None, id="the fleet is held"),
        pytest.param([down(3, 2), down(3, 3), up(3, 3)], None, id="a pod that was starting may arrive"),
        pytest.param(
            [down(3, 3), down(0, 3), up(3, 3)],
            "from 3 desired",
            id="an unknown depth read as zero",
        ),
        pytest.param([down(3, 3), down(3, 1), up(3, 3)], "3 workers to 3, 1", id="a worker taken away"),
        pytest.param([up(3, 3)], "not every pool went", id="no pool noticed"),
        pytest.param([down(3, 3)], "back to True", id="it never came back"),
        pytest.param([down(3, 3, ""), up(3, 3)], "without a reason", id="no message"),
        pytest.param([down(3, 3, f"postgresql://u:{SECRET}@pg"), up(3, 3)], "password", id="the password"),
    ],
)
def test_an_outage_holds_the_fleet_or_reports_each_fault(snapshots: list[Snapshot], fault: str | None) -> None:
    kills: list[int] = []
    outage = Outage(lambda: kills.append(1), [SECRET])

    for snapshot in [up(0, 0), up(3, 3), *snapshots]:
        outage.watch(snapshot)

    assert kills == [1]
    assert outage.verdict() == [] if fault is None else any(fault in found for found in outage.verdict())


def test_an_outage_that_did_not_happen_is_a_fault() -> None:
    outage = Outage(lambda: None, [])

    outage.watch(up(0, 0))

    assert "never killed" in outage.verdict()[0]
