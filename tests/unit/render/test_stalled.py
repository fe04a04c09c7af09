"""Stalled names the pod, the cause and the next step; Progressing does so before it is sure to be a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobtide_controller.decide.fleet import Rollout
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import Depth, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.kube.inventory.causes import LOOK_SECONDS, PASS_SECONDS, STUCK_SECONDS
from jobtide_controller.render import status
from jobtide_controller.render.facts import Context
from jobtide_controller.render.stalled import NODE_SECONDS, RECONNECT_SECONDS, RECURS_SECONDS, refusal
from tests.unit.decide.builders import NOW, A, fleet, pool

MOUNT = 'FailedMount: pod thumbs-worker-x: secret "db" not found; create that Secret'
NOT_READY = "NotReady: pod thumbs-worker-x: its worker answers: password authentication failed; correct the Secret"
ROOM = "Unschedulable: pod thumbs-worker-x: 0/3 nodes are available; add nodes"
LOST = Unreadable(UnreadableReason.UNREACHABLE, "connection refused", NOW)


def render(*, reading=None, before=None, at=NOW, rollout=None, **pod):
    workers = fleet(0, starting=1)
    workers = replace(workers, pods=(replace(workers.pods[0], **pod),))
    given, reading = pool(), reading or Reading(at, {A: Depth(due=1)})
    decision = decide(given.spec, reading, workers, History(), at, None)
    return status.render(given, reading, workers, decision, Context(rollout=rollout or Rollout()), before, at)


def condition(rendered, type_):
    return next(entry for entry in rendered["conditions"] if entry["type"] == type_)


def test_a_cause_that_may_be_a_slow_start_is_named_by_progressing_alone():
    rendered = render(cause=MOUNT)
    assert condition(rendered, "Progressing")["message"] == f"0 of 1 workers are ready; {MOUNT}"
    assert condition(rendered, "Stalled")["status"] == "False"


def test_a_cause_that_lasts_stalls_the_pool_and_is_its_reason():
    rendered = render(cause=MOUNT, stuck=True)
    stalled = condition(rendered, "Stalled")
    assert (stalled["status"], stalled["reason"], stalled["message"]) == ("True", "ConfigError", MOUNT)
    assert rendered["reason"] == "ConfigError"


@pytest.mark.parametrize(
    ("age_seconds", "rollout", "is_stalled"),
    [
        pytest.param(0, Rollout(), False, id="at once"),
        pytest.param(NODE_SECONDS - 1, Rollout(complete=False), False, id="a slow node"),
        pytest.param(NODE_SECONDS, Rollout(), True, id="no node came"),
        pytest.param(1, Rollout(complete=False, deadline_exceeded=True), True, id="Kubernetes has given up"),
    ],
)
def test_a_pod_without_a_node_is_named_at_once_and_stalls_its_pool_when_no_node_came(age_seconds, rollout, is_stalled):
    rendered = render(problem=ROOM, created_at=NOW - age_seconds, rollout=rollout)
    assert condition(rendered, "Progressing")["message"] == f"0 of 1 workers are ready; {ROOM}"
    expected = ("True", "Unschedulable", ROOM) if is_stalled else ("False", "NotStalled", "")
    stalled = condition(rendered, "Stalled")
    assert (stalled["status"], stalled["reason"], stalled.get("message", "")) == expected


def test_a_worker_that_does_not_reach_the_database_in_an_outage_is_no_trouble_of_its_own():
    assert condition(render(cause=NOT_READY, stuck=True, reading=LOST), "Stalled")["status"] == "False"
    assert condition(render(cause=MOUNT, stuck=True, reading=LOST), "Stalled")["status"] == "True"


def test_after_an_outage_workers_have_time_to_connect():
    during = render(cause=NOT_READY, stuck=True, reading=LOST)
    back = render(cause=NOT_READY, stuck=True, before=during, at=NOW + 1)
    assert condition(back, "Stalled")["status"] == "False"
    later = render(cause=NOT_READY, stuck=True, before=back, at=NOW + 2 + RECONNECT_SECONDS)
    assert condition(later, "Stalled")["reason"] == "NotReady"


NODE = "NodeNotReady: pod thumbs-worker-x: the kubelet of node nowhere has not started it; see whether it is Ready"
STARTS_SECONDS = 20  # of a pod that replaces another: until it is stuck itself


def recreated(before, at, *, made_at, cause=None, stuck=False, generation=1, ready=0, desired_pods=1):
    """The pool at this time: Kubernetes made its pod again at `made_at`; None: not yet."""
    workers = fleet(ready, starting=0 if made_at is None else desired_pods)
    pods = [pod if pod.ready else replace(pod, created_at=made_at, cause=cause, stuck=stuck) for pod in workers.pods]
    workers = replace(workers, pods=tuple(pods), current_replicas=1)
    given, reading = pool(generation=generation), Reading(at, {A: Depth(due=1)})
    decision = decide(given.spec, reading, workers, History(), at, None)
    return status.render(given, reading, workers, decision, Context(), before, at)


def test_a_pool_whose_pod_is_made_again_and_again_stays_stalled():
    """A pod on a node that does not exist is deleted after a while, and its Deployment makes another one."""
    rendered = recreated(None, NOW, made_at=NOW - 40, cause=NODE, stuck=True)
    since = condition(rendered, "Stalled")["lastTransitionTime"]
    for born in (NOW + 1, NOW + 61, NOW + 121):
        rendered = recreated(rendered, born - 1, made_at=None)
        for age in range(STARTS_SECONDS + 40):
            cause = NODE.replace("worker-x", f"worker-{born:.0f}") if age > 5 else None
            rendered = recreated(rendered, born + age, made_at=born, cause=cause, stuck=age >= STARTS_SECONDS)
            stalled = condition(rendered, "Stalled")
            assert (stalled["status"], stalled["reason"], rendered["reason"]) == ("True",) + ("NodeNotReady",) * 2
            assert (cause or "worker-") in stalled["message"]
    assert condition(rendered, "Stalled")["lastTransitionTime"] == since


@pytest.mark.parametrize(
    "after",
    [
        pytest.param({"made_at": NOW + 1, "ready": 1, "desired_pods": 0}, id="the new pod is ready"),
        pytest.param({"made_at": NOW - 40}, id="the same pod has come further"),
        pytest.param({"made_at": NOW + 1, "generation": 2}, id="its user changed the pool"),
    ],
)
def test_a_trouble_that_does_not_recur_ends_at_once(after):
    before = recreated(None, NOW, made_at=NOW - 40, cause=NODE, stuck=True)
    assert condition(recreated(before, NOW + 2, **after), "Stalled")["status"] == "False"


def test_a_trouble_ends_when_the_new_pod_had_its_time_and_is_not_stuck():
    rendered = recreated(None, NOW, made_at=NOW - 40, cause=NODE, stuck=True)
    rendered = recreated(rendered, NOW + 2, made_at=NOW + 1)
    slow = {"made_at": NOW + 1, "cause": "Creating: pod thumbs-worker-y: Pulling image; wait"}
    assert condition(recreated(rendered, NOW + RECURS_SECONDS, **slow), "Stalled")["status"] == "True"
    assert condition(recreated(rendered, NOW + 2 + RECURS_SECONDS, **slow), "Stalled")["status"] == "False"


def test_a_new_pod_is_stuck_itself_before_the_trouble_of_the_last_one_ends():
    assert STUCK_SECONDS + LOOK_SECONDS[0] + PASS_SECONDS < RECURS_SECONDS


def test_pods_that_the_api_server_refused_are_no_trouble_of_those_that_it_accepts():
    before = render(rollout=Rollout(complete=False, replica_failure="exceeded quota: team"))
    assert condition(before, "Stalled")["status"] == "True"
    assert condition(recreated(before, NOW + 2, made_at=NOW + 1), "Stalled")["status"] == "False"


def test_a_new_pod_that_waits_for_a_database_in_an_outage_is_in_no_trouble_again():
    before = render(cause=NOT_READY, stuck=True, at=NOW)
    assert condition(before, "Stalled")["reason"] == "NotReady"
    workers = fleet(0, starting=1)
    pods = (replace(workers.pods[0], created_at=NOW + 1),)
    decision = decide(pool().spec, LOST, replace(workers, pods=pods), History(), NOW + 2, None)
    during = status.render(pool(), LOST, replace(workers, pods=pods), decision, Context(), before, NOW + 2)
    assert condition(during, "Stalled")["status"] == "False"


@pytest.mark.parametrize(
    ("message", "reason", "step"),
    [
        (
            'pods "x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2',
            "QuotaExceeded",
            "raise the namespace's ResourceQuota",
        ),
        (
            'pods "x" is forbidden: failed quota: team: must specify limits.cpu for: worker',
            "QuotaExceeded",
            "raise the namespace's ResourceQuota",
        ),
        (
            'pods "x" is forbidden: error looking up service account media/missing: serviceaccount "missing" not found',
            "ServiceAccountMissing",
            "create that ServiceAccount",
        ),
        (
            'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
            "PodSecurity",
            "change securityContext",
        ),
        (
            'pods "x" is forbidden: maximum memory usage per Container is 64Mi, but limit is 1Gi',
            "LimitRange",
            "change resources in spec.template",
        ),
        (
            'pods "x" is forbidden: no PriorityClass with name missing was found',
            "PriorityClassMissing",
            "create that PriorityClass",
        ),
        (
            'admission webhook "policy.acme.dev" denied the request: no',
            "PodsRefused",
            "change spec.template",
        ),
    ],
)
def test_why_pods_are_refused_has_its_own_reason_and_next_step(message, reason, step):
    shown, words = refusal(message)
    assert shown == reason
    assert words.startswith(message)
    assert step in words
    stalled = condition(render(rollout=Rollout(complete=False, replica_failure=message)), "Stalled")
    assert stalled["reason"] == reason
