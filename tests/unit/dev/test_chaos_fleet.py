"""What the fleet records of the events of watches."""

from __future__ import annotations

from typing import Any

from dev.chaos.fleet import Exit, Fleet, Holding, Resize
from dev.stage.watch import Event

NOON = 1_795_608_000.0  # 2026-11-25T12:00:00Z


def a_pod(uid: str, pool: str | None = "short", **metadata: Any) -> dict[str, Any]:
    labels = {} if pool is None else {"jobtide.dev/pool": pool}
    return {
        "metadata": {"uid": uid, "name": f"pod-{uid}", "namespace": "chaos", "labels": labels, **metadata},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def a_lease(holder: str, renewed: str, acquired: str = "2026-11-25T12:00:00.000000Z") -> dict[str, Any]:
    return {"spec": {"holderIdentity": holder, "renewTime": renewed, "acquireTime": acquired}}


def test_workers_and_controllers_are_distinguished_and_deleted_pods_are_left_out() -> None:
    fleet = Fleet()
    for pod in (a_pod("1"), a_pod("2"), a_pod("3", pool=None)):
        fleet.see_pod(Event(NOON, "ADDED", pod))
    fleet.see_pod(Event(NOON, "DELETED", a_pod("2")))

    assert [pod.uid for pod in fleet.workers()] == ["1"]
    assert [pod.uid for pod in fleet.controllers()] == ["3"]
    assert (fleet.living_workers(), fleet.most_workers) == (1, 2)


def test_a_pod_was_asked_to_stop_its_grace_period_before_its_first_deletion_time() -> None:
    fleet = Fleet()
    asked = a_pod("1", deletionTimestamp="2026-11-25T12:01:40Z", deletionGracePeriodSeconds=40)
    at_last = a_pod("1", deletionTimestamp="2026-11-25T12:01:30Z", deletionGracePeriodSeconds=0)
    fleet.see_pod(Event(NOON, "MODIFIED", asked))
    fleet.see_pod(Event(NOON, "DELETED", at_last))

    assert fleet.pods["1"].asked_to_stop_at == NOON + 60
    assert fleet.workers() == []


def test_each_end_of_a_workers_container_is_seen_once_while_it_restarts_and_afterwards() -> None:
    fleet = Fleet()
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-25T12:00:10Z"}}
    again = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-25T12:00:20Z"}}
    for state, last in ((ended, {}), ({"running": {}}, ended), (again, ended)):
        worker, controller = a_pod("1"), a_pod("2", pool=None)
        for pod in (worker, controller):
            pod["status"]["containerStatuses"] = [{"state": state, "lastState": last}]
            fleet.see_pod(Event(NOON, "MODIFIED", pod))

    pod = fleet.pods["1"]
    assert list(fleet.exits.values()) == [Exit(NOON + 10, pod, 1, "Error"), Exit(NOON + 20, pod, 137, "OOMKilled")]


def test_the_first_event_of_a_deployment_is_no_resize() -> None:
    fleet = Fleet()
    for at, replicas in enumerate((0, 3, 3, 0)):
        labels = {"jobtide.dev/pool": "short"}
        fleet.see_deployment(
            Event(NOON + at, "MODIFIED", {"metadata": {"labels": labels}, "spec": {"replicas": replicas}})
        )

    assert fleet.resizes == [Resize(NOON + 1, "short", 0, 3), Resize(NOON + 3, "short", 3, 0)]


def test_a_resize_that_is_seen_late_happened_when_it_was_written() -> None:
    fleet = Fleet()
    for replicas, written in ((1, "2026-11-25T12:00:00Z"), (0, "2026-11-25T12:00:04Z")):
        scale = {"manager": "jobtide-scale", "time": written}
        metadata = {"labels": {"jobtide.dev/pool": "short"}, "managedFields": [scale]}
        fleet.see_deployment(Event(NOON + 20, "MODIFIED", {"metadata": metadata, "spec": {"replicas": replicas}}))

    assert fleet.resizes == [Resize(NOON + 5, "short", 1, 0)]


def test_holders_of_the_lease_follow_each_other_by_their_last_renewal() -> None:
    fleet = Fleet()
    fleet.see_lease(Event(NOON, "ADDED", a_lease("pod-1", "2026-11-25T12:00:00.000000Z")))
    fleet.see_lease(Event(NOON, "MODIFIED", a_lease("pod-1", "2026-11-25T12:00:02.500000Z")))
    fleet.see_lease(Event(NOON, "MODIFIED", a_lease("", "2026-11-25T12:00:02.500000Z")))
    taken = a_lease("pod-2", "2026-11-25T12:00:04.000000Z", "2026-11-25T12:00:04.000000Z")
    fleet.see_lease(Event(NOON, "MODIFIED", taken))

    assert fleet.holdings == [
        Holding("pod-1", NOON, NOON + 2.5, released=True),
        Holding("pod-2", NOON + 4, NOON + 4),
    ]


def test_the_leader_is_the_holder_only_while_its_pod_exists() -> None:
    fleet = Fleet()
    fleet.see_pod(Event(NOON, "ADDED", a_pod("1", pool=None)))
    fleet.see_lease(Event(NOON, "ADDED", a_lease("pod-1", "2026-11-25T12:00:00.000000Z")))
    assert fleet.leader() is not None

    fleet.see_pod(Event(NOON, "DELETED", a_pod("1", pool=None)))

    assert fleet.leader() is None
