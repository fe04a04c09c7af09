"""Tests each limit: when it changes the result, with which number, and what a user reads about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobtide_controller.decide.clamps import Clamp, ClampName
from jobtide_controller.decide.fleet import Pod
from jobtide_controller.decide.history import Failing, History, Learned, Recommendation
from jobtide_controller.decide.reading import Depth, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.reasons import Note, Reason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.render.sentence import clamped, sentence
from tests.unit.decide.builders import NOW, A, fleet, replay, share, spec

KNOWN = History(types={"a": Learned(slot_seconds=1_000, jobs=1_000, ran_seconds=900)})
BURST = {A: Depth(due=3_000)}
UNREADABLE = Unreadable(UnreadableReason.UNREACHABLE, "connection refused", NOW)
SOON = (datetime.fromtimestamp(NOW, UTC) + timedelta(minutes=5)).isoformat()
PAST = (datetime.fromtimestamp(NOW, UTC) - timedelta(minutes=5)).isoformat()


def _decide(depths, *, workers=None, history=KNOWN, share=None, **fields):
    policy = spec(**{"maxWaitSeconds": 30, "maxReplicas": 100, **fields})
    return decide(policy, Reading(NOW, depths), workers or fleet(0), history, NOW, share)


def _held_at(replicas: int, seconds_ago: float = 5) -> History:
    return replace(KNOWN, recommendations=(Recommendation(NOW - seconds_ago, replicas),))


@pytest.mark.parametrize(
    ("decision", "clamp"),
    [
        pytest.param(
            _decide(BURST, history=History(), maxReplicas=40), Clamp(ClampName.COLD_START, 54, 10, 10), id="cold"
        ),
        pytest.param(
            _decide({A: Depth(due=20)}, history=History()), Clamp(ClampName.COLD_START, 1, 5, 25), id="cold-raises"
        ),
        pytest.param(_decide(BURST, share=share(9)), Clamp(ClampName.CONNECTION_BUDGET, 54, 9, 9), id="budget"),
        pytest.param(_decide(BURST, maxReplicas=7), Clamp(ClampName.MAX_REPLICAS, 54, 7, 7), id="max"),
        pytest.param(_decide({}, minReplicas=2), Clamp(ClampName.MIN_REPLICAS, 0, 2, 2), id="min"),
        pytest.param(
            _decide({}, workers=fleet(8), history=_held_at(5)), Clamp(ClampName.STABILIZATION, 0, 5, 20), id="hold"
        ),
        pytest.param(
            _decide({}, workers=fleet(8, busy=3), history=_held_at(0, 99)),
            Clamp(ClampName.BUSY_WORKERS, 0, 3, 3),
            id="busy",
        ),
        pytest.param(_decide(BURST, replicas=3), Clamp(ClampName.PINNED, 54, 3, 3), id="pinned"),
        pytest.param(_decide(BURST, paused=True), Clamp(ClampName.PAUSED, 54, 0, 0), id="paused"),
    ],
)
def test_limit_that_changes_the_result_is_reported_with_its_number(decision, clamp):
    assert decision.limited_by[-1] == clamp
    assert decision.replicas == clamp.after


def test_limits_are_reported_in_the_order_in_which_they_apply():
    limits = {"share": share(30), "maxReplicas": 40, "replicas": 3}
    decision = _decide(BURST, history=History(), **limits)
    assert [clamp.name for clamp in decision.limited_by] == ["ColdStart", "Pinned"]
    known = _decide(BURST, **limits)
    assert [clamp.name for clamp in known.limited_by] == ["MaxReplicas", "ConnectionBudget", "Pinned"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        pytest.param({"minReplicas": 5}, ["MinReplicas", "ConnectionBudget"], id="minimum"),
        pytest.param({"replicas": 5}, ["Pinned", "ConnectionBudget"], id="pin"),
    ],
)
def test_minimum_and_pin_of_a_user_stay_within_the_connection_budget(fields, names):
    decision = _decide({}, share=share(3), **fields)
    assert [clamp.name for clamp in decision.limited_by] == names
    assert decision.replicas == 3


def test_pin_stays_within_its_share_without_a_reading_too():
    assert decide(spec(replicas=5), UNREADABLE, fleet(2), KNOWN, NOW, share(3)).replicas == 3


def test_new_pool_of_an_unreadable_database_starts_with_the_minimum_within_its_share():
    assert decide(spec(minReplicas=5), UNREADABLE, fleet(current=None), KNOWN, NOW, share(3)).replicas == 3


def test_limit_that_changes_nothing_is_not_reported():
    assert _decide({A: Depth(due=100)}, maxReplicas=50).limited_by == ()


def test_cold_start_ends_when_jobs_have_run_for_a_while():
    ran = History(types={"a": Learned(ran_seconds=5)})
    assert all(clamp.name != ClampName.COLD_START for clamp in _decide(BURST, history=ran).limited_by)


def test_hold_keeps_no_more_than_a_lowered_maximum():
    assert _decide({}, workers=fleet(8), history=_held_at(8), maxReplicas=6).replicas == 6


def test_hold_ends():
    assert _decide({}, workers=fleet(8), history=_held_at(8, seconds_ago=21)).replicas == 0


def test_unreadable_database_is_the_reason_and_keeps_the_workers():
    decision = decide(spec(), UNREADABLE, fleet(7), KNOWN, NOW)
    assert (decision.replicas, decision.reason, decision.numbers) == (7, Reason.UNREADABLE, None)
    assert [clamp.name for clamp in decision.limited_by] == [ClampName.UNREADABLE]


def test_unreadable_database_before_the_first_worker_gives_the_minimum():
    assert decide(spec(minReplicas=2), UNREADABLE, fleet(current=None), KNOWN, NOW).replicas == 2


@pytest.mark.parametrize(
    ("fields", "replicas"),
    [
        pytest.param({"replicas": 3}, 3, id="pin"),
        pytest.param({"paused": True}, 0, id="pause"),
        pytest.param({"paused": True, "pausedUntil": PAST}, 7, id="pause-that-is-over"),
    ],
)
def test_overrides_of_the_user_need_no_reading(fields, replicas):
    assert decide(spec(**fields), UNREADABLE, fleet(7), KNOWN, NOW).replicas == replicas


def test_pause_with_an_end_sets_the_wake_up_time_to_it():
    decision = _decide(BURST, paused=True, pausedUntil=SOON)
    assert (decision.replicas, decision.wake_at) == (0, NOW + 300)


@pytest.mark.parametrize(
    ("on_all_failing", "expected"), [pytest.param("Hold", 2, id="hold"), pytest.param("Scale", 54, id="scale")]
)
def test_failing_pool_scales_up_unless_the_user_set_hold(on_all_failing, expected):
    failing = replace(KNOWN, failing=Failing(NOW - 60, NOW - 1), read_at=NOW - 1, counts={})
    policy = {"workers": fleet(2), "history": failing, "onAllFailing": on_all_failing}
    decision = _decide(BURST, **policy)
    assert decision.replicas == expected
    assert Note.ALL_FAILING in decision.notes


@pytest.mark.parametrize(
    ("seen", "noted"),
    [
        pytest.param([(0, {A: Depth(succeeded=60)}), (3, {A: Depth(failed=1)}), (30, {})], False, id="the-last-fails"),
        pytest.param([(3, {A: Depth(failed=1)}), (30, {A: Depth(due=9, running=9)})], False, id="unseen-ends-since"),
        pytest.param([(3, {A: Depth(failed=1)}), (12, {A: Depth(failed=1)})], False, id="for-nine-seconds"),
        pytest.param([(3, {A: Depth(failed=1)}), (13, {A: Depth(failed=1)})], True, id="for-ten-seconds"),
        pytest.param([(3, {A: Depth(failed=1)}), (13, {A: Depth(failed=1)}), (40, {})], True, id="and-none-since"),
    ],
)
def test_a_pool_fails_only_if_failures_were_seen_for_ten_seconds(seen, noted):
    readings = [Reading(NOW + seconds, depths) for seconds, depths in [(-1, {}), *seen]]
    decision = replay(spec(), readings, fleet(2), History())
    assert (Note.ALL_FAILING in decision.notes) is noted


@pytest.mark.parametrize(
    ("decision", "reason"),
    [
        pytest.param(_decide({}), Reason.IDLE, id="idle"),
        pytest.param(_decide(BURST), Reason.SCALING_UP, id="up"),
        pytest.param(_decide({}, workers=fleet(8), history=_held_at(0, 99)), Reason.SCALING_DOWN, id="down"),
        pytest.param(_decide({}, workers=fleet(8), history=_held_at(8)), Reason.STABILIZING, id="held"),
        pytest.param(_decide({A: Depth(running=4)}, workers=fleet(1)), Reason.STEADY, id="steady"),
        pytest.param(_decide(BURST, workers=fleet(7), maxReplicas=7), Reason.CAPPED_BY_MAX, id="max"),
        pytest.param(_decide(BURST, workers=fleet(7), share=share(7)), Reason.CAPPED_BY_CONNECTIONS, id="budget"),
        pytest.param(
            _decide({A: Depth(due=99, running=4)}, workers=fleet(1), tenants={"maxConcurrent": 4}),
            Reason.CAPPED_BY_TENANT,
            id="tenant",
        ),
        pytest.param(_decide(BURST, replicas=3), Reason.PINNED, id="pinned"),
        pytest.param(_decide(BURST, replicas=3, paused=True), Reason.PAUSED, id="paused-wins-over-pinned"),
        pytest.param(_decide({A: Depth(running=8)}, workers=fleet(1, current=2)), Reason.SCALING_UP, id="starting"),
    ],
)
def test_decision_has_its_reason(decision, reason):
    assert decision.reason is reason


@pytest.mark.parametrize(
    ("decision", "notes"),
    [
        pytest.param(
            _decide({}, workers=fleet(start_seconds=60.0)), (Note.PROMISE_BELOW_START,), id="promise-below-start"
        ),
        pytest.param(_decide({}, workers=fleet(1, start_seconds=60.0), minReplicas=1), (), id="not-with-a-minimum"),
        pytest.param(_decide({A: Depth(due=1, oldest_age_seconds=31)}), (Note.PROMISE_MISSED,), id="missed"),
        pytest.param(_decide({A: Depth(due=1, oldest_age_seconds=29)}), (), id="kept"),
        pytest.param(
            _decide({}, history=replace(KNOWN, read_at=NOW - 1, late_at=NOW - 59)),
            (Note.PROMISE_MISSED,),
            id="a-while-ago",
        ),
        pytest.param(_decide({}, history=replace(KNOWN, read_at=NOW - 1, late_at=NOW - 60)), (), id="a-minute-ago"),
        pytest.param(_decide({}, history=replace(KNOWN, read_at=NOW - 1, late_at=NOW + 900)), (), id="clock-set-back"),
        pytest.param(
            _decide({A: Depth(due=1, oldest_age_seconds=99)}, maxWaitSeconds=None, jobsPerWorker=9), (), id="no-promise"
        ),
    ],
)
def test_notes_of_a_decision(decision, notes):
    assert decision.notes == notes


@pytest.mark.parametrize("minimum", [0, 2])
@pytest.mark.parametrize("start_seconds", [5.0, 60.0])
def test_shortcut_for_an_idle_pool_gives_the_full_decision(minimum, start_seconds):
    policy = spec(minReplicas=minimum)
    workers = fleet(minimum, start_seconds=start_seconds)
    empty = [Reading(NOW + tick, {}) for tick in range(3)]
    ended = Pod("uid-ended", "ended", NOW - 900, finished=True)  # changes no number, but prevents the shortcut
    short = replay(policy, empty, workers, KNOWN)
    full = replay(policy, empty, replace(workers, pods=(*workers.pods, ended)), KNOWN)
    within_share = replay(policy, empty, workers, KNOWN, share(2))
    assert short == full == replace(within_share, share=None)


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        pytest.param(_decide({}), "nothing to do", id="idle"),
        pytest.param(
            _decide({A: Depth(due=8_140, running=92, oldest_age_seconds=192)}, maxReplicas=40),
            "8,140 due, oldest 3m12s, 92 running, promise 30 s: 147 workers; 147 -> 40 limited by maxReplicas (40)",
            id="limited",
        ),
        pytest.param(
            _decide({A: Depth(later=1, next_due_at=NOW + 5)}),
            "nothing waits, a scheduled job falls due: 1 worker",
            id="scheduled",
        ),
        pytest.param(
            _decide({A: Depth(due=900, running=100)}, maxWaitSeconds=None, jobsPerWorker=200),
            "900 due, oldest 0s, 100 running, 200 a worker: 5 workers",
            id="jobs-per-worker",
        ),
    ],
)
def test_sentence_of_a_decision(decision, text):
    assert sentence(decision) == text


@pytest.mark.parametrize("name", ClampName)
def test_every_limit_has_a_text(name):
    assert clamped(Clamp(name, 9, 4, 4))


@pytest.mark.parametrize(
    ("busy_ready", "idle_ready", "kept"),
    [
        pytest.param(True, True, 1, id="idle-ones-are-removed"),
        pytest.param(False, True, 4, id="none-is-removed-before-the-busy-one"),
        pytest.param(False, False, 1, id="idle-ones-that-are-not-ready-are-removed"),
    ],
)
def test_no_idle_ready_worker_is_removed_while_a_busy_one_is_not_ready_and_would_be_removed_first(
    busy_ready, idle_ready, kept
):
    busy, *idle = fleet(4, busy=1).pods
    pods = (replace(busy, ready=busy_ready), *(replace(pod, ready=idle_ready) for pod in idle))
    workers = replace(fleet(4, busy=1), pods=pods)

    decision = _decide({}, workers=workers, history=_held_at(0, 99))

    assert decision.replicas == kept
    assert decision.limited_by[-1] == Clamp(ClampName.BUSY_WORKERS, 0, kept, kept)


@pytest.mark.parametrize(
    ("waiting", "spec", "problem", "kept"),
    [
        pytest.param(Depth(due=2), {}, None, 3, id="one-worker-for-each-waiting-job"),
        pytest.param(Depth(due=50), {}, None, 8, id="no-more-than-exist"),
        pytest.param(Depth(due=50, running=4), {"tenants": {"maxConcurrent": 5}}, None, 2, id="a-tenant-up-to-its-cap"),
        pytest.param(Depth(due=50), {}, "CrashLoopBackOff", 1, id="workers-with-a-problem-claim-none"),
    ],
)
def test_idle_workers_stay_for_waiting_jobs(waiting, spec, problem, kept):
    busy, *idle = fleet(8, busy=1).pods
    workers = replace(fleet(8, busy=1), pods=(busy, *(replace(pod, problem=problem) for pod in idle)))

    decision = _decide({A: waiting}, workers=workers, history=_held_at(0, 99), maxWaitSeconds=3600, **spec)

    assert decision.replicas == kept
