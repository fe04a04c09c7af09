"""Stalled names the pod, the cause and the next step; Progressing does so before it is sure to be a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobtide_controller.decide.fleet import Rollout
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import Depth, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.render import status
from jobtide_controller.render.facts import Context
from jobtide_controller.render.stalled import RECONNECT_SECONDS, refusal
from tests.unit.decide.builders import NOW, A, fleet, pool

MOUNT = 'FailedMount: pod thumbs-worker-x: secret "db" not found; create that Secret'
NOT_READY = "NotReady: pod thumbs-worker-x: its worker answers: password authentication failed; correct the Secret"
LOST = Unreadable(UnreadableReason.UNREACHABLE, "connection refused", NOW)


def render(*, cause=None, stuck=False, reading=None, before=None, at=NOW, rollout=None):
    workers = fleet(0, starting=1)
    workers = replace(workers, pods=(replace(workers.pods[0], cause=cause, stuck=stuck),))
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


def test_a_worker_that_does_not_reach_the_database_in_an_outage_is_no_trouble_of_its_own():
    assert condition(render(cause=NOT_READY, stuck=True, reading=LOST), "Stalled")["status"] == "False"
    assert condition(render(cause=MOUNT, stuck=True, reading=LOST), "Stalled")["status"] == "True"


def test_after_an_outage_workers_have_time_to_connect():
    during = render(cause=NOT_READY, stuck=True, reading=LOST)
    back = render(cause=NOT_READY, stuck=True, before=during, at=NOW + 1)
    assert condition(back, "Stalled")["status"] == "False"
    later = render(cause=NOT_READY, stuck=True, before=back, at=NOW + 2 + RECONNECT_SECONDS)
    assert condition(later, "Stalled")["reason"] == "NotReady"


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
