"""The API server fails in many ways while jobs wait: nothing wrong is written, and the process continues."""

from __future__ import annotations

import pytest

from tests.cluster.controllers import condition, until
from tests.cluster.faults import Call, Fault, FaultProxy


def writes(call: Call) -> bool:
    return call.is_write


def leases(call: Call) -> bool:
    return call.is_lease


def watches(call: Call) -> bool:
    return call.is_watch


STEPS_DOWN = "not leading"
TRIES_AGAIN = "failed, next try in"
SEES_NOTHING = "watch can't reach the API server"
SEES_AGAIN = "watch reaches the API server again"

# The fault, and a message that the controller logs about it.
FAULTS = {
    "answers come after 3 s": (Fault(answers_after_seconds=3.0), STEPS_DOWN),
    "too many requests, Retry-After 1 s": (Fault(code=429, retry_after_seconds=1), STEPS_DOWN),
    "every write conflicts": (Fault(on=writes, code=409), TRIES_AGAIN),
    "every write fails": (Fault(on=writes, code=500), TRIES_AGAIN),
    "everything is unavailable": (Fault(code=503), STEPS_DOWN),
    "the lease can't be renewed": (Fault(on=leases, code=500), STEPS_DOWN),
    "no watch can begin": (Fault(on=watches, code=503), SEES_NOTHING),
    "no answer": (Fault(holds=True), STEPS_DOWN),
    "no answer, and the request arrives late": (Fault(holds=True, lands_late=True), STEPS_DOWN),
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_writes_nothing_wrong_and_has_no_lasting_effect(
    fault, message, controller, proxy, kubectl, pool, insert, replicas
):
    way = proxy("jobtide-0")
    kubectl.apply(pool())
    insert(8)
    running = controller(KUBECONFIG=str(way.kubeconfig))
    before = until(lambda: replicas() or 0)
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    way.cut()
    with way.fault(fault):
        insert(100)
        until(lambda: way.met >= 3 and message in running.words)
    desired = until(lambda: (replicas() or 0) > before and replicas())
    until(lambda: kubectl.get("jobworkerpool", "thumbs")["status"].get("desiredReplicas") == desired)
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    numbers = [number for _, number in way.scaled]
    assert set(numbers) <= {0, before, desired}
    assert numbers == sorted(numbers), "never down"
    assert running.is_running
    assert "Traceback" not in running.words


@pytest.mark.parametrize("code", [410, 500], ids=["410, which kopf knows", "500, at which kopf gives up"])
def test_a_watch_that_ends_is_restarted_within_the_process(code, controller, proxy, kubectl, pool, replicas):
    way = proxy("jobtide-0")
    kubectl.apply(pool(replicas=2))
    running = controller(KUBECONFIG=str(way.kubeconfig))
    until(lambda: replicas() == 2 and condition(kubectl, "Ready").get("status") == "True")
    before = watches_begun(way)
    way.end_watches(code)
    until(lambda: watches_begun(way) >= before + 3)
    kubectl.apply(pool(replicas=3))
    until(lambda: replicas() == 3)
    kubectl("scale", "deployment", "thumbs-worker", "--replicas=9")
    until(lambda: replicas() == 3)
    assert running.is_running
    assert [number for _, number in way.scaled if number not in {0, 2, 3}] == []


def test_an_object_deleted_while_the_watch_is_down_is_noticed(controller, proxy, kubectl, pool, replicas):
    way = proxy("jobtide-0")
    kubectl.apply(pool(replicas=2))
    running = controller(KUBECONFIG=str(way.kubeconfig))
    until(lambda: replicas() == 2 and condition(kubectl, "Ready").get("status") == "True")
    with way.fault(Fault(on=watches, code=410)):
        way.end_watches(500)
        until(lambda: way.met >= 3)
        kubectl("delete", "deployment", "thumbs-worker")
    until(lambda: replicas() == 2)
    assert running.is_running


def test_the_watch_returns_after_an_outage_of_the_api_server(controller, proxy, plane, kubectl, pool, insert, replicas):
    way = proxy("jobtide-0")
    kubectl.apply(pool())
    insert(8)
    running = controller(KUBECONFIG=str(way.kubeconfig))
    before = until(lambda: replicas() or 0)
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    plane.stop_apiserver()
    try:
        insert(100)
        tried = watches_begun(way)
        until(lambda: STEPS_DOWN in running.words and watches_begun(way) >= tried + 12)
        assert way.scaled[-1][1] == before
    finally:
        plane.start_apiserver()
    until(lambda: (replicas() or 0) > before and SEES_AGAIN in running.words)
    assert running.words.count(SEES_NOTHING) < 3, "of a dozen attempts and more"
    assert "Request attempt" not in running.words
    assert running.is_running


def watches_begun(way: FaultProxy) -> int:
    return sum(call.is_watch for call in [*way.passed, *way.spoilt])
