"""Tests the status of a pool: totals, conditions, the word in column REASON, the last decisions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.status import DECISIONS_KEPT, MESSAGE_LIMIT, UNSERVED_SHOWN, JobWorkerPoolStatus
from jobtide_controller.decide.fleet import Fleet, Rollout, Share
from jobtide_controller.decide.history import Failing, History, Learned
from jobtide_controller.decide.limits import ALL_TYPES, Limit, with_limits
from jobtide_controller.decide.reading import Depth, Key, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.retention import Retained
from jobtide_controller.decide.scaling import decide
from jobtide_controller.decide.unserved import UnservedType
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.render import sentence, status
from jobtide_controller.render.facts import Context, Overlap
from jobtide_controller.render.stalled import problem_reason
from tests.unit.decide.builders import NOW, A, B, fleet, pool

DEPTHS = {
    A: Depth(due=8_000, later=140, running=92, oldest_age_seconds=192.7),
    B: Depth(due=12, running=4, oldest_age_seconds=41),
}
TYPES = {"a": Learned(slot_seconds=1_234.567, jobs=1_000.4, ran_seconds=900)}
REFUSED = Unreadable(UnreadableReason.UNREACHABLE, "connection to db:5432 refused", NOW)


FAILING = History(types=TYPES, failing=Failing(NOW - 60, NOW - 1), read_at=NOW - 1, began_at=NOW - 60)


def _render(
    depths: dict[Key, Depth] | Unreadable,
    workers: Fleet | None = None,
    *,
    context: Context | None = None,
    before: dict[str, Any] | None = None,
    at: float = NOW,
    generation: int = 3,
    history: History | None = None,
    share: Share | None = None,
    **fields: Any,
) -> dict[str, Any]:
    reading = depths if isinstance(depths, Unreadable) else Reading(at, depths)
    given = pool(generation=generation, **{"maxReplicas": 40, **fields})
    workers = workers or fleet(0)
    decision = decide(given.spec, reading, workers, history or History(types=TYPES), at, share)
    return status.render(given, reading, workers, decision, context or Context(), before, at)


def _conditions(rendered: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {entry["type"]: (entry["status"], entry["reason"]) for entry in rendered["conditions"]}


@pytest.mark.parametrize(
    ("shared", "oldest"),
    [
        ({}, (192, "3m12s", [192, 41])),
        ({Key(ALL_TYPES, "t1"): Limit(0)}, (41, "41s", [0, 41])),
        ({A: Limit(0)}, (41, "41s", [0, 41])),
        ({A: Limit(0), B: Limit(0)}, (0, "-", [0, 0])),
    ],
    ids=["no limit", "a pause", "a pause of its type", "all are paused"],
)
def test_the_oldest_job_is_one_that_may_start(shared, oldest):
    """As in the decision, in KeepingUp, and on the page."""
    reading = Reading(NOW, DEPTHS)
    given = pool()
    given = given.model_copy(update={"spec": with_limits(given.spec, shared, reading)})
    decision = decide(given.spec, reading, fleet(1), History(types=TYPES), NOW)
    rendered = status.render(given, reading, fleet(1), decision, Context(), None, NOW)
    types = [one.get("oldestSeconds", 0) for one in rendered["types"]]
    assert (rendered["oldestSeconds"], rendered["display"]["oldest"], types) == oldest
    assert int(decision.numbers.oldest_seconds) == oldest[0]
    assert (f"oldest {oldest[1]}" in rendered["message"]) == (oldest[0] > 0)
    assert "oldest 0s" not in rendered["message"]
    assert [one["oldestSeconds"] for one in rendered["tenants"]] == [192, 41]  # a tenant's own age is as it is


def test_totals_are_the_sums_of_the_reading():
    rendered = _render(DEPTHS, fleet(24, busy=23))
    assert (rendered["pending"], rendered["scheduled"], rendered["processing"]) == (8_152, 140, 96)
    assert (rendered["oldestSeconds"], rendered["tenantsTotal"]) == (192, 2)
    assert (rendered["replicas"], rendered["readyReplicas"], rendered["busyReplicas"]) == (24, 24, 23)


def test_columns_have_short_texts():
    assert _render(DEPTHS, fleet(24, busy=23), maxReplicas=5)["display"] == {
        "pending": "8,152",
        "oldest": "3m12s",
        "busy": "23",
        "processing": "96",
        "tenants": "2",
        "limitedBy": "MaxReplicas, BusyWorkers",
    }


def test_stopped_counting_shows_a_plus():
    assert _render({A: Depth(due=95_000, capped=True)})["display"]["pending"] == "95k+"


def test_unreadable_shows_question_marks_and_never_zero():
    rendered = _render(REFUSED, fleet(4))
    assert {rendered["display"][column] for column in ("pending", "oldest", "busy", "processing", "tenants")} == {"?"}
    assert not {"pending", "processing", "oldestSeconds", "tenantsTotal"} & rendered.keys()
    assert (rendered["reason"], rendered["desiredReplicas"]) == ("DatabaseUnreachable", 4)


def test_outage_keeps_what_was_learned_and_the_last_read_time():
    before = _render(DEPTHS, fleet(4))
    during = _render(REFUSED, fleet(4), before=before, at=NOW + 60)
    assert during["types"] == before["types"]
    assert during["lastReadTime"] == before["lastReadTime"]


def test_every_type_of_the_pool_is_listed_with_what_was_learned():
    idle, busy = {entry["type"]: entry for entry in _render({A: DEPTHS[A]})["types"]}["b"], _render(DEPTHS)["types"][0]
    assert (idle["pending"], "learned" in idle) == (0, False)
    assert (busy["type"], busy["pending"], busy["scheduled"]) == ("a", 8_140, 140)
    assert busy["learned"] == {"slotSeconds": 1_230.0, "jobs": 1_000.0}
    assert busy["serviceSeconds"] == 1.23


def test_a_status_with_the_longest_names_and_limits_of_tenants_is_kept():
    """One that is too long is taken for another client's: decisions would be lost, and it is written in every tick."""
    types = [f"{number:02}".ljust(200, "\u00e4") for number in range(64)]
    keys = [Key(type_, f"00000000-0000-0000-0000-{tenant:012}") for type_ in types for tenant in range(10)]
    shared = dict.fromkeys(keys, Limit(4, 2, NOW + 60)) | {key: Limit(0) for key in keys if key.type == types[40]}
    reading = Reading(NOW, dict.fromkeys(keys, Depth(due=1)))
    given = pool(types=types)
    given = given.model_copy(update={"spec": with_limits(given.spec, shared, reading)})
    decision = decide(given.spec, reading, fleet(0), History(types=TYPES), NOW)
    rendered = status.render(given, reading, fleet(0), decision, Context(), None, NOW)
    assert [[one["type"] for one in tenant["typeLimits"]] for tenant in rendered["tenants"]] == [
        [*types[:7], types[40]]
    ] * 10
    longest = {**rendered, "decisions": rendered["decisions"] * DECISIONS_KEPT}
    assert PoolEntry("uid", PoolRef("media", "p"), given, 1, longest).status == longest


def test_ten_tenants_with_the_most_waiting_jobs_are_listed():
    depths = {Key("a", f"t{number:02}"): Depth(due=number, running=1) for number in range(1, 31)}
    rendered = _render(depths, tenants={"overrides": {"t30": 7}})
    assert [entry["tenant"] for entry in rendered["tenants"]] == [f"t{number}" for number in range(30, 20, -1)]
    assert rendered["tenants"][0]["maxConcurrent"] == 7
    assert rendered["tenantsTotal"] == 30


@pytest.mark.parametrize(
    ("rendered", "word"),
    [
        pytest.param(_render({}), "Idle", id="idle"),
        pytest.param(_render(DEPTHS), "ScalingUp", id="scaling-up"),
        pytest.param(_render(DEPTHS, fleet(5), maxReplicas=5), "CappedByMax", id="capped"),
        pytest.param(_render(DEPTHS, replicas=2), "Pinned", id="pinned"),
        pytest.param(_render(DEPTHS, paused=True), "Paused", id="paused"),
        pytest.param(_render(DEPTHS, history=FAILING), "AllFailing", id="all-failing"),
        pytest.param(_render(REFUSED), "DatabaseUnreachable", id="unreachable"),
        pytest.param(_render(Unreadable(UnreadableReason.RLS_HIDES_ROWS, "", NOW)), "RLSHidesRows", id="rows-hidden"),
        pytest.param(_render({}, context=Context(conflict="not ours")), "Conflict", id="conflict"),
        pytest.param(_render(REFUSED, context=Context(apply_error="403")), "ApplyFailed", id="apply-failed"),
        pytest.param(_render({}, context=Context(overlaps=(Overlap("a", ("x/y",)),))), "TypesOverlap", id="overlap"),
    ],
)
def test_column_reason_has_the_most_important_reason(rendered, word):
    assert rendered["reason"] == word


def _with_problem(problem: str) -> Fleet:
    workers = fleet(0, starting=1)
    return replace(workers, pods=(replace(workers.pods[0], problem=problem),))


@pytest.mark.parametrize(
    ("rendered", "expected"),
    [
        pytest.param(_render({}), {"Ready": ("True", "Applied"), "Stalled": ("False", "NotStalled")}, id="healthy"),
        pytest.param(
            _render(REFUSED),
            {
                "Ready": ("False", "Unreachable"),
                "DatabaseReachable": ("False", "Unreachable"),
                "SchemaReady": ("Unknown", "Unreachable"),
                "ScalingActive": ("Unknown", "Unreachable"),
                "KeepingUp": ("Unknown", "Unreachable"),
            },
            id="database-unreachable",
        ),
        pytest.param(
            _render(Unreadable(UnreadableReason.TABLE_MISSING, "no job_queue", NOW)),
            {
                "Ready": ("False", "TableMissing"),
                "DatabaseReachable": ("True", "Read"),
                "SchemaReady": ("False", "TableMissing"),
            },
            id="table-missing",
        ),
        pytest.param(
            _render({}, context=Context(schema_warnings=("CREATE INDEX ...",))),
            {"Ready": ("True", "Applied"), "SchemaReady": ("False", "IndexMissing")},
            id="index-missing",
        ),
        pytest.param(
            _render(DEPTHS, fleet(5), maxReplicas=5),
            {
                "Ready": ("True", "Applied"),
                "ScalingActive": ("False", "CappedByMax"),
                "Stalled": ("False", "NotStalled"),
            },
            id="a-pool-at-its-limit-is-ready",
        ),
        pytest.param(
            _render(DEPTHS, paused=True, pausedUntil="2030-01-01T00:00:00Z"),
            {
                "Paused": ("True", "Paused"),
                "ScalingActive": ("False", "Paused"),
                "KeepingUp": ("Unknown", "Paused"),
                "Ready": ("True", "Applied"),
            },
            id="paused",
        ),
        pytest.param(_render(DEPTHS, replicas=3), {"ScalingActive": ("False", "Pinned")}, id="pinned"),
        pytest.param(_render({}), {"KeepingUp": ("True", "Keeping")}, id="kept"),
        pytest.param(_render(DEPTHS), {"KeepingUp": ("False", "PromiseMissed")}, id="missed"),
        pytest.param(_render(DEPTHS, jobsPerWorker=9), {"KeepingUp": ("True", "NoPromise")}, id="no-promise"),
        pytest.param(_render({}, maxWaitSeconds=9), {"KeepingUp": ("False", "PromiseBelowStart")}, id="below-start"),
        pytest.param(_render({}, maxWaitSeconds=9, minReplicas=1), {"KeepingUp": ("True", "Keeping")}, id="warm"),
        pytest.param(_render(DEPTHS, history=FAILING), {"KeepingUp": ("False", "AllFailing")}, id="all-failing"),
        pytest.param(_render(DEPTHS), {"Progressing": ("True", "ScalingUp")}, id="workers-start"),
        pytest.param(_render({}, fleet(3, current=0)), {"Progressing": ("True", "ScalingDown")}, id="workers-stop"),
        pytest.param(
            _render({}, context=Context(rollout=Rollout(complete=False))),
            {"Progressing": ("True", "RollingOut"), "Stalled": ("False", "NotStalled")},
            id="rollout",
        ),
        pytest.param(
            _render({}, context=Context(rollout=Rollout(complete=False, deadline_exceeded=True))),
            {"Stalled": ("True", "RolloutBlocked")},
            id="rollout-blocked",
        ),
        pytest.param(
            _render(DEPTHS, context=Context(rollout=Rollout(replica_failure="exceeded quota"))),
            {"Stalled": ("True", "QuotaExceeded"), "Ready": ("True", "Applied")},
            id="quota",
        ),
        pytest.param(
            _render(DEPTHS, _with_problem("ImagePullBackOff: no such image")),
            {"Stalled": ("True", "ImagePull")},
            id="image",
        ),
        pytest.param(
            _render({}, context=Context(conflict="owned by helm")),
            {"Ready": ("False", "Conflict"), "Stalled": ("True", "Conflict")},
            id="conflict",
        ),
        pytest.param(
            _render({}, context=Context(apply_error="403 Forbidden")), {"Ready": ("False", "ApplyFailed")}, id="apply"
        ),
        pytest.param(
            _render({}, context=Context(overlaps=(Overlap("a", ("x/y",)),))),
            {"ScalingActive": ("False", "TypesOverlap"), "Ready": ("True", "Applied")},
            id="overlap",
        ),
    ],
)
def test_conditions_follow_the_truth_table(rendered, expected):
    assert expected.items() <= _conditions(rendered).items()


def _message(rendered: dict[str, Any], type_: str) -> str:
    return next(entry["message"] for entry in rendered["conditions"] if entry["type"] == type_)


def test_message_of_a_missed_promise_has_the_wait_and_the_limits():
    message = _message(_render(DEPTHS, fleet(5), maxReplicas=5), "KeepingUp")
    assert "longer than maxWaitSeconds (60); the oldest due job has waited 3m12s; " in message
    assert message.endswith("-> 5 limited by maxReplicas (5)")


def test_a_promise_that_was_missed_a_moment_ago_says_that_none_waits_now():
    message = _message(_render({}, history=History(types=TYPES, read_at=NOW - 1, late_at=NOW - 5)), "KeepingUp")
    assert message == "in the last minute jobs have waited longer than maxWaitSeconds (60); none waits now"


PROMISES = {"promises": {"a": 30, "b": 600}}


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        pytest.param((45, 50), "a: the oldest has waited 45s of 30 s", id="the short one"),
        pytest.param((20, 700), "b: the oldest has waited 11m40s of 600 s", id="the long one"),
        pytest.param(
            (45, 700),
            "a: the oldest has waited 45s of 30 s; b: the oldest has waited 11m40s of 600 s",
            id="both, the one that exceeds its promise most first",
        ),
    ],
)
def test_message_of_a_missed_promise_names_the_types_that_are_late(ages, expected):
    depths = {key: Depth(due=1, oldest_age_seconds=age) for key, age in zip((A, B), ages, strict=True)}
    message = _message(_render(depths, fleet(1), **PROMISES), "KeepingUp")
    assert message == f"in the last minute jobs have waited longer than the promises of their types; {expected}"


def test_types_with_promises_of_their_own_keep_up_by_them():
    depths = {B: Depth(due=1, oldest_age_seconds=500)}
    assert _conditions(_render(depths, fleet(1), **PROMISES))["KeepingUp"] == ("True", "Keeping")
    assert _message(_render({}, replace(fleet(0), start_seconds=30), **PROMISES), "KeepingUp").endswith(
        "so jobs that find no worker wait longer than most of promises.a (30); set minReplicas: 1, or raise promises.a"
    )


def test_each_type_shows_its_promise_and_what_it_needs_only_where_types_have_their_own():
    shown = _render(DEPTHS, fleet(5), **PROMISES)
    first, second = ((one["promiseSeconds"], one["promiseWorkers"]) for one in shown["types"])
    assert (first[0], second[0]) == (30, 600)
    assert 0 < second[1] < first[1] == shown["numbers"]["required"]
    assert f"promise 30 s: {first[1]} workers (600 s: {second[1]})" in shown["message"]
    assert not {"promiseSeconds", "promiseWorkers"} & _render(DEPTHS, fleet(5))["types"][0].keys()


def test_a_short_promise_is_no_trouble_before_a_start_was_measured():
    workers = replace(fleet(0), start_seconds=12, start_known=False)
    assert _conditions(_render({}, workers, maxWaitSeconds=9))["KeepingUp"] == ("True", "Keeping")


def test_message_of_a_pause_with_an_end_says_how_to_resume():
    message = _message(_render({}, paused=True, pausedUntil="2030-01-01T00:00:00Z"), "Paused")
    assert message.endswith("to resume before, set paused to false and remove pausedUntil")


def test_message_of_a_promise_below_the_start_time_recommends_min_replicas():
    message = _message(_render({}, replace(fleet(0), start_seconds=12), maxWaitSeconds=9), "KeepingUp")
    assert "takes 12 s to start" in message
    assert message.endswith("set minReplicas: 1, or raise maxWaitSeconds")


def test_message_of_the_connection_limit_has_its_numbers():
    message = _message(_render(DEPTHS, fleet(5), share=Share(5, connections=2, budget=80)), "ScalingActive")
    assert "of the 80 that the workers of all pools of main share, this pool has 10, 2 for each of 5" in message


@pytest.mark.parametrize("reason", UnreadableReason)
def test_every_read_failure_makes_the_pool_unready_with_its_reason_and_message(reason):
    rendered = _render(Unreadable(reason, "the server's message", NOW), fleet(3))
    assert _conditions(rendered)["Ready"] == ("False", reason)
    assert "the server's message" in rendered["message"]


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        ("ErrImagePull: denied", "ImagePull"),
        ("CrashLoopBackOff: exit 1", "CrashLoop"),
        ("Unschedulable: 0/3 nodes", "Unschedulable"),
        ("CreateContainerConfigError: secret not found", "ConfigError"),
        ("Evicted: disk", "PodProblem"),
    ],
)
def test_problem_of_a_pod_has_one_reason(problem, reason):
    assert problem_reason(problem) == reason


def test_every_condition_has_the_generation_it_was_computed_for():
    rendered = _render({}, before=_render({}, generation=3), generation=4)
    assert {entry["observedGeneration"] for entry in rendered["conditions"]} == {4}
    assert rendered["observedGeneration"] == 4


def test_transition_time_changes_only_with_the_status():
    before = _render({}, fleet(0))
    during = _render(REFUSED, fleet(0), before=before, at=NOW + 60)
    times = {entry["type"]: entry["lastTransitionTime"] for entry in during["conditions"]}
    then = before["conditions"][0]["lastTransitionTime"]
    assert times["Paused"] == times["Stalled"] == then
    assert times["Ready"] != then
    still = _render(replace(REFUSED, reason=UnreadableReason.AUTH_FAILED), fleet(0), before=during, at=NOW + 120)
    assert {entry["type"]: entry["lastTransitionTime"] for entry in still["conditions"]} == times


def test_status_of_an_unchanged_pool_stays_equal():
    before = json.loads(json.dumps(_render({})))
    assert _render({}, before=before, at=NOW + 600) == before


def test_decisions_that_change_replicas_are_kept_newest_first():
    rendered: dict[str, Any] = _render({})
    for tick in range(15):
        due = {A: Depth(due=2_000)} if tick % 2 else {}
        rendered = _render(due, before=rendered, at=NOW + tick, minReplicas=1)
        again = _render(due, before=rendered, at=NOW + tick + 0.5, minReplicas=1)
        assert again["decisions"] == rendered["decisions"]
    assert len(rendered["decisions"]) == 10
    assert [entry["replicas"] for entry in rendered["decisions"][:3]] == [1, 17, 1]
    assert rendered["decisions"][1]["replicasBefore"] == 1


def test_decision_in_the_status_can_be_recomputed():
    (entry,) = _render(DEPTHS, fleet(0), maxReplicas=20)["decisions"]
    numbers = entry["numbers"]
    slots = numbers["occupiedSlots"] + numbers["queueSlots"]
    assert numbers["required"] == max(-(-slots // numbers["concurrency"]), numbers["low"])
    assert entry["limitedBy"] == [{"name": "MaxReplicas", "before": numbers["required"], "after": 20, "limit": 20}]
    assert "limited by maxReplicas (20)" in entry["message"]


def test_status_is_valid_for_the_crd():
    rendered = _render(DEPTHS, fleet(24, busy=3))
    assert JobWorkerPoolStatus.model_validate(rendered).as_object() == rendered


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(
            Context(overlaps=tuple(Overlap("t" * 63, ("n" * 63 + "/" + "p" * 253,) * 1000) for _ in range(64))),
            id="a thousand pools handle the same 64 types",
        ),
        pytest.param(Context(apply_error="x" * 100_000), id="the API server sends a long error"),
    ],
)
def test_no_message_is_longer_than_the_api_server_accepts(context):
    rendered = _render({}, context=context)
    assert max(len(entry["message"]) for entry in rendered["conditions"]) <= MESSAGE_LIMIT


def test_message_of_a_shared_type_names_a_few_of_the_other_pools():
    rendered = _render({}, context=Context(overlaps=(Overlap("a", ("x/1", "x/2", "x/3"), has_more=True),)))
    message = next(entry["message"] for entry in rendered["conditions"] if entry["type"] == "ScalingActive")
    assert message.startswith("a is handled by x/1, x/2, x/3 and others too: ")


WEEK = {"completedSeconds": 604_800}
LAST_PASS = Retained(NOW - 60, 12, NOW - 700_000, "")


def test_last_deletion_is_shown_with_number_time_and_oldest_left():
    shown = _render(DEPTHS, retention=WEEK, context=Context(retained=LAST_PASS))["retention"]
    assert shown == {
        "deleted": 12,
        "time": "2027-01-15T07:59:00Z",
        "oldestLeft": "2027-01-07T05:33:20Z",
        "message": "",
    }
    assert "retention" not in _render(DEPTHS, context=Context(retained=LAST_PASS))


def test_last_deletion_is_kept_until_the_next_pass_of_another_controller():
    before = _render(DEPTHS, retention=WEEK, context=Context(retained=LAST_PASS))
    assert _render(DEPTHS, retention=WEEK, before=before)["retention"] == before["retention"]


def test_a_pass_that_ends_like_the_last_one_is_no_change():
    before = _render(DEPTHS, retention=WEEK, context=Context(retained=LAST_PASS))
    again = LAST_PASS._replace(at=NOW)
    assert _render(DEPTHS, retention=WEEK, context=Context(retained=again), before=before) == before
    more = again._replace(deleted=13)
    assert _render(DEPTHS, retention=WEEK, context=Context(retained=more), before=before) != before


def test_a_pool_that_may_not_use_the_database_shows_no_deletion_and_no_type_of_others():
    refused = Unreadable(UnreadableReason.NOT_ALLOWED, "not from here", NOW)
    found = (UnservedType("secret", 3, 99.0),)
    shown = _render(refused, retention=WEEK, context=Context(retained=LAST_PASS, unserved=found))
    assert "retention" not in shown
    assert shown["unserved"] == []


def test_ten_types_without_a_pool_are_listed():
    found = tuple(UnservedType(f"type {number}", 100 - number, 61.9) for number in range(12))
    shown = _render(DEPTHS, context=Context(unserved=found))["unserved"]
    assert len(shown) == UNSERVED_SHOWN
    assert shown[0] == {"type": "type 0", "pending": 100, "oldestSeconds": 61}


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, "jobs of 'a' (1) wait"), (6, "'e' (5) and 1 more type wait"), (7, "'e' (5) and 2 more types wait")],
)
def test_message_of_types_without_a_pool_names_five(number, words):
    found = [UnservedType("abcdefg"[index], index + 1, 61.0) for index in range(number)]
    assert words in sentence.unserved("main", found)


def _daily(name: str = "day", cron: str = "0 8 * * *", **limits: Any) -> list[dict[str, Any]]:
    return [{"name": name, "cron": cron, "durationSeconds": 36_000, **limits}]  # NOW is at 08:00 UTC


def test_status_names_the_windows_in_force_what_they_decide_and_the_next_one():
    rendered = _render({}, schedules=[*_daily(minReplicas=2), *_daily("eve", "0 20 * * *", maxReplicas=1)])
    assert rendered["schedule"] == {
        "active": [{"name": "day", "until": "2027-01-15T18:00:00Z", "decides": ["minReplicas"]}],
        "next": {"name": "eve", "at": "2027-01-15T20:00:00Z"},
    }


def test_a_pool_without_windows_has_no_schedule_in_its_status():
    assert "schedule" not in _render({})


def test_the_schedule_is_shown_during_an_outage():
    assert _render(REFUSED, schedules=_daily(minReplicas=2))["schedule"]["active"][0]["name"] == "day"


@pytest.mark.parametrize(
    ("schedules", "depths", "words"),
    [
        pytest.param(_daily(minReplicas=2), {}, "0 -> 2 kept at minReplicas (2) of window day", id="floor"),
        pytest.param(_daily(maxReplicas=5), DEPTHS, "limited by maxReplicas (5) of window day", id="ceiling"),
        pytest.param(_daily(maxWaitSeconds=7), DEPTHS, "promise 7 s", id="promise"),
    ],
)
def test_the_sentence_names_the_window_that_limits(schedules, depths, words):
    rendered = _render(depths, schedules=schedules)
    assert words in rendered["message"]
    assert words in rendered["decisions"][0]["message"]


def test_limits_have_the_name_of_their_window():
    (limit,) = _render({}, schedules=_daily(minReplicas=2))["limits"]
    assert limit == {"name": "MinReplicas", "before": 0, "after": 2, "limit": 2.0, "window": "day"}


def test_conditions_name_the_window_and_its_promise():
    rendered = _render(DEPTHS, fleet(5, busy=5), schedules=_daily(maxReplicas=5, maxWaitSeconds=7))
    messages = {entry["type"]: entry["message"] for entry in rendered["conditions"]}
    assert messages["ScalingActive"] == "more workers are needed than maxReplicas allows in the window day (5)"
    assert "limited by maxReplicas (5) of window day" in messages["KeepingUp"]


def test_the_status_with_windows_changes_only_when_one_of_them_does():
    schedules = _daily(minReplicas=2)
    first = _render({}, fleet(2), schedules=schedules, history=History(types=TYPES))
    again = _render({}, fleet(2), schedules=schedules, before=first, at=NOW + 60)
    ended = _render({}, fleet(2), schedules=schedules, before=first, at=NOW + 36_000)
    assert again == first
    assert ended["schedule"] == {"active": [], "next": {"name": "day", "at": "2027-01-16T08:00:00Z"}}


@pytest.mark.parametrize("fields", [{}, {"schedules": _daily(minReplicas=1)}], ids=["", "with windows"])
@pytest.mark.parametrize("depths", [{}, DEPTHS], ids=["idle", "busy"])
def test_the_condition_of_limits_is_there_also_while_its_tenants_have_no_jobs(fields, depths):
    given = pool(tenants={"overrides": {"00000000-0000-0000-0000-000000000001": 0}}, **fields)
    reading = Reading(NOW, depths)
    policy = with_limits(given.spec, {}, reading)
    decision = decide(policy, reading, fleet(0), History(types=TYPES), NOW)
    limited = given.model_copy(update={"spec": policy})
    rendered = status.render(limited, reading, fleet(0), decision, Context(), None, NOW)
    assert _conditions(rendered)["LimitsCurrent"] == ("True", "Current")


def test_a_late_type_is_not_named_for_its_paused_tenant():
    paused = "00000000-0000-0000-0000-000000000001"
    depths = {
        Key("a", paused): Depth(due=1, oldest_age_seconds=900),
        Key("b", "t"): Depth(due=1, oldest_age_seconds=90),
    }
    rendered = _render(depths, promises={"a": 30, "b": 60}, tenants={"overrides": {paused: 0}})
    message = _message(rendered, "KeepingUp")
    assert "b: the oldest has waited" in message
    assert "a: the oldest has waited" not in message


def test_of_many_promises_those_that_need_the_most_are_named():
    types = [f"type-{number}" for number in range(64)]
    depths = {Key(type_, "t"): Depth(due=10 * number) for number, type_ in enumerate(types)}
    rendered = _render(depths, types=types, promises={type_: number + 1 for number, type_ in enumerate(types)})
    assert rendered["message"].count(" s: ") == 4
    assert "and 60 more)" in rendered["message"]
    assert len(json.dumps(rendered)) < 24_000
