"""Other clients change the same objects: users, GitOps, an autoscaler, the owner of an older Deployment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cluster.controllers import condition, until

GITOPS = {
    "server-side": ("--server-side", "--force-conflicts", "--field-manager=gitops"),
    "client-side": (),
}


@contextmanager
def again_and_again(act: Callable[[int], Any]) -> Iterator[list[int]]:
    """Calls `act` in a thread without a pause; the list grows with each call."""
    done: list[int] = []
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            act(len(done))
            done.append(len(done))

    thread = threading.Thread(target=work, name="others")
    thread.start()
    try:
        yield done
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("arguments", GITOPS.values(), ids=GITOPS.keys())
def test_gitops_that_applies_the_pool_all_the_time_neither_scales_it_nor_starts_a_rollout(
    arguments, controller, proxy, kubectl, pool, insert, replicas
):
    way = proxy("jobtide-0")
    assert kubectl.apply(pool(), *arguments).returncode == 0
    insert(8)
    controller(KUBECONFIG=str(way.kubeconfig))
    before = until(lambda: replicas() or 0)
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    template = kubectl.get("deployment", "thumbs-worker")["spec"]["template"]
    begun = len(way.passed)
    # Every second apply changes the spec, so that the generation moves.
    with again_and_again(lambda number: kubectl.apply(pool(maxWaitSeconds=60 + number % 2), *arguments)) as times:
        until(lambda: len(times) >= 5)
        insert(100)
        more = until(lambda: (replicas() or 0) > before and replicas())
        until(lambda: len(times) >= 15)
        assert replicas() >= more
    deployment = kubectl.get("deployment", "thumbs-worker")
    assert deployment["spec"]["template"] == template
    written = [call for call in way.passed[begun:] if call.is_write and "/deployments" in call.path]
    assert {call.manager for call in written} == {"jobtide-scale"}
    numbers = [call.replicas for call in written]
    assert numbers == sorted(numbers)
    assert "cost" not in kubectl("get", "jobworkerpool", "thumbs", "-o", "jsonpath={.metadata.annotations}")


def test_the_replicas_that_an_autoscaler_sets_are_corrected_once_for_each_change(
    controller, proxy, kubectl, pool, replicas
):
    way = proxy("jobtide-0")
    kubectl.apply(pool(replicas=2))
    running = controller(KUBECONFIG=str(way.kubeconfig))
    until(lambda: replicas() == 2 and condition(kubectl, "Ready").get("status") == "True")
    begun = len(way.scaled)

    def fight(_: int) -> None:
        kubectl("scale", "deployment", "thumbs-worker", "--replicas=9")

    with again_and_again(fight) as times:
        until(lambda: len(times) >= 20)
    until(lambda: replicas() == 2)
    written = way.scaled[begun:]
    assert {number for _, number in written} == {2}
    assert len(written) <= len(times), "at most one correction for each change"
    assert "Traceback" not in running.words


def test_kubectl_scale_pins_the_pool_until_replicas_is_removed(controller, kubectl, pool, insert, replicas):
    kubectl.apply(pool())
    insert(8)
    controller()
    automatic = until(lambda: replicas() or 0)
    kubectl("scale", "jobworkerpool", "thumbs", "--replicas=7")
    until(lambda: replicas() == 7)
    until(lambda: condition(kubectl, "ScalingActive").get("reason") == "Pinned")
    kubectl("scale", "jobworkerpool", "thumbs", "--replicas=0")
    until(lambda: replicas() == 0)
    kubectl("patch", "jobworkerpool", "thumbs", "--type=json", "-p", '[{"op": "remove", "path": "/spec/replicas"}]')
    until(lambda: (replicas() or 0) >= automatic)
    until(lambda: condition(kubectl, "ScalingActive").get("status") == "True")


def test_a_paused_pool_has_no_workers_until_paused_until(controller, kubectl, pool, insert, replicas):
    kubectl.apply(pool())
    insert(8)
    controller()
    until(replicas)
    kubectl.apply(pool(paused=True))
    until(lambda: replicas() == 0 and condition(kubectl, "ScalingActive").get("reason") == "Paused")
    insert(92)
    until(lambda: kubectl.get("jobworkerpool", "thumbs")["status"].get("pending") == 100)
    assert replicas() == 0
    ends_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)
    kubectl.apply(pool(paused=True, pausedUntil=ends_at.isoformat()))
    until(replicas)
    assert datetime.now(UTC) >= ends_at, "not before"
    until(lambda: condition(kubectl, "Paused").get("status") == "False")


def test_a_deployment_of_another_owner_is_a_conflict_until_it_is_deleted(controller, kubectl, pool, insert, replicas):
    labels = {"app": "theirs"}
    foreign = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "thumbs-worker"},
        "spec": {
            "replicas": 5,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}},
        },
    }
    assert kubectl.apply(foreign).returncode == 0
    before = kubectl.get("deployment", "thumbs-worker")
    kubectl.apply(pool())
    insert(8)
    controller()
    until(lambda: condition(kubectl, "Ready").get("reason") == "Conflict")
    assert condition(kubectl, "Stalled")["reason"] == "Conflict"
    assert kubectl.get("deployment", "thumbs-worker") == before
    kubectl("delete", "deployment", "thumbs-worker")
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    assert 0 < replicas() < 5
