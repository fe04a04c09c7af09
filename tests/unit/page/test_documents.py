"""The documents of the page, from entries, statuses and readings: unknown is null, and what is wrong comes first."""

from __future__ import annotations

import json

import pytest

from jobtide_controller.api.status import TenantStatus
from jobtide_controller.decide.limits import ALL_TYPES, Limit, with_limits
from jobtide_controller.decide.reading import Depth, Key, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.page import job_documents, samples
from jobtide_controller.page.depths import depths_of
from jobtide_controller.page.documents import Rows, held_of, overview, pool_row, unserved
from jobtide_controller.page.history import History
from jobtide_controller.page.limits import Limiting, in_force_of, limit_fields
from jobtide_controller.page.pool_document import decisions as decisions_of
from jobtide_controller.page.pool_document import newest_point, pool_document, series_document, tenants_of
from jobtide_controller.page.rights import Rights, Serving, types_allowed
from jobtide_controller.render import status
from jobtide_controller.render.facts import Context
from jobtide_controller.render.tenant_limits import limit_words
from tests.unit.decide.builders import NOW, fleet, pool
from tests.unit.page.world import DEPTHS, entry, snapshot
from tests.unit.plugin.pools import LEARNED

ALL = Rights(frozenset({"media", "crm"}), frozenset({"media", "crm"}), frozenset({"media", "crm"}))
AWAY = Unreadable(UnreadableReason.UNREACHABLE, "connection refused", NOW)


def reported(reading=None, shared=None, **spec):
    """A status as the controller writes it."""
    reading = reading or Reading(NOW, DEPTHS)
    given = pool(**spec)
    if shared is not None:
        given = given.model_copy(update={"spec": with_limits(given.spec, shared, reading)})
    decision = decide(given.spec, reading, fleet(1), LEARNED, NOW)
    return status.render(given, reading, fleet(1), decision, Context(), None, NOW)


def rows_of(taken, rights=ALL, with_jobs=()):
    depths = {
        name: depths_of(view.reading) for name, view in taken.databases.items() if isinstance(view.reading, Reading)
    }
    return overview(taken, Rows().of(taken, depths), rights, with_jobs)


def test_a_pool_has_the_jobs_of_its_types():
    (row,) = rows_of(snapshot(entry(types=["a"], status=reported(types=["a"]))))["pools"]
    assert (row["waiting"], row["later"], row["running"], row["oldest_seconds"]) == (7, 2, 3, 41.0)
    assert (row["desired"], row["ready"], row["busy"]) == (2, 1, 1)
    assert row["may"] == {"act": True, "payloads": True}


def test_what_is_not_known_is_null_and_never_zero():
    document = rows_of(snapshot(entry(status=reported(AWAY)), depths=AWAY))
    (row,), (database,) = document["pools"], document["databases"]
    assert [row[name] for name in ("waiting", "later", "running", "oldest_seconds", "busy")] == [None] * 5
    assert (row["desired"], row["trouble"]) == (2, 2)
    assert (database["reachable"], database["reason"]) == (False, "Unreachable")
    assert database["read_at"] is None


def test_a_pool_before_its_first_report_says_so():
    (row,) = rows_of(snapshot(entry()))["pools"]
    assert (row["reason"], row["trouble"], row["conditions"]) == ("NotReported", 1, [])
    assert row["sentence"] == "no controller has reported on this pool yet"


def test_a_status_of_another_client_breaks_nothing():
    strange = {"conditions": [{"type": 3}, {}], "decisions": [{"time": "yesterday"}], "numbers": {"due": "many"}}
    one = entry(status=strange)
    taken = snapshot(one)
    document = pool_document(one, pool_row(one, None, None), None, None, held=held_of(one, None), kept=[], now=NOW)
    assert json.dumps(rows_of(taken))
    assert document["decisions"] == []


def test_the_worst_pool_comes_first_then_the_latest():
    late = entry("late", types=["a"], maxWaitSeconds=10, status=reported(Reading(NOW, {})))
    calm = entry("calm", types=["b"], maxWaitSeconds=100, status=reported(Reading(NOW, {})))
    broken = entry("broken", types=["c"], status=reported(AWAY))
    taken = snapshot(calm, late, broken)
    assert [row["name"] for row in rows_of(taken)["pools"]] == ["broken", "late", "calm"]


@pytest.mark.parametrize(
    ("spec", "trouble"),
    [
        pytest.param({"paused": True}, 0, id="paused-by-its-user"),
        pytest.param({"replicas": 1}, 0, id="pinned-by-its-user"),
        pytest.param({"maxReplicas": 1, "maxWaitSeconds": 1, "concurrency": 1}, 1, id="too-few-workers"),
    ],
)
def test_a_limit_that_was_chosen_is_no_trouble(spec, trouble):
    depths = {Key("a", "t"): Depth(due=500, oldest_age_seconds=0.5)}
    given = entry(status=reported(Reading(NOW, depths), **spec), **spec)
    (row,) = rows_of(snapshot(given, depths=depths))["pools"]
    assert row["trouble"] == trouble, row["conditions"]


def test_jobs_per_worker_promises_no_time():
    (row,) = rows_of(snapshot(entry(jobsPerWorker=5)))["pools"]
    assert row["promise_seconds"] is None


def test_a_pools_document_explains_itself():
    one = entry(status=reported())
    taken = snapshot(one)
    depths = depths_of(Reading(NOW, DEPTHS))
    history = History()
    samples.note(history, taken, {"main": depths_of(taken.databases["main"].reading)})
    series = history.series(one.uid, "15m", "tenant", NOW)
    kept = history.decisions(one.uid)
    document = pool_document(
        one, pool_row(one, None, None), series, depths, held=held_of(one, None), kept=kept, now=NOW
    )
    assert document["why"].startswith("pool      media/thumbs  ")
    assert "template" not in document["spec"]
    assert {"promise", "backlog", "required"} <= {fact["label"] for fact in document["facts"]}
    assert document["decisions"][0]["why"].splitlines()[0]
    assert [row["type"] for row in document["by_type"]] == ["a", "b"]
    assert [row["tenant"] for row in tenants_of(one, depths)] == ["t1", "t2"]
    point = newest_point(series)
    assert (point["time"], point["depth"]) == (NOW, {"t1": 9.0, "t2": 1.0, "": 0.0})
    assert json.dumps(series_document(series))


def test_a_type_may_be_named_others():
    history, one = History(), entry(types=["others"])
    taken = snapshot(one, depths={Key("others", "t1"): Depth(due=3)})
    samples.note(history, taken, {"main": depths_of(taken.databases["main"].reading)})
    series = history.series(one.uid, "15m", "type", NOW)
    assert newest_point(series)["depth"] == {"others": 3.0, "": 0.0}
    assert len({layer["key"] for layer in series_document(series)["depth"]}) == 2


def test_a_type_that_a_pool_elsewhere_handles_too_is_not_allowed():
    pools = [Serving("media", "main", ("a", "b")), Serving("crm", "main", ("b",)), Serving("crm", "other", ("a",))]
    rights = Rights(frozenset({"media"}), frozenset({"crm"}))
    assert types_allowed(pools, "main", rights, "list") == {"a"}
    assert types_allowed(pools, "main", rights, "patch") == frozenset()  # to change needs to see


def test_a_tenant_has_the_caps_of_all_pools_together():
    one, two = entry(tenants={"maxConcurrent": 4}), entry("more", tenants={"overrides": {}, "maxConcurrent": 2})
    depths = depths_of(Reading(NOW, DEPTHS))
    unknown = job_documents.Failed()
    found = job_documents.tenant_rows([one, two], depths, ["a", "b"], slots=6, failed=unknown)
    assert [(row["tenant"], row["cap"], row["share"]) for row in found["rows"]] == [("t1", 6, 0.5), ("t2", 6, 0.0)]
    uncapped = job_documents.tenant_rows([one, entry("free")], depths, ["a"], slots=0, failed=unknown)
    assert uncapped["rows"][0]["cap"] is None


def test_a_tenant_whose_jobs_all_fail_is_in_the_list_after_those_that_wait():
    failed = job_documents.Failed({"t1": 2, "t9": 5}, capped=True)
    found = job_documents.tenant_rows([entry()], depths_of(Reading(NOW, DEPTHS)), ["a", "b"], slots=6, failed=failed)
    shown = [(row["tenant"], row["waiting"], row["failed_last_hour"], row["failed_capped"]) for row in found["rows"]]
    assert shown == [("t1", 7, 2, True), ("t2", 1, 0, True), ("t9", 0, 5, True)]


def test_types_without_a_pool_are_named_once_the_most_jobs_first():
    one, two = {"type": "lost", "pending": 3, "oldestSeconds": 70}, {"type": "more", "pending": 9}
    assert unserved([{"unserved": [one]}, {"unserved": []}, {"unserved": [two, one]}]) == [
        {"type": "more", "jobs": 9, "oldest_seconds": 0.0},
        {"type": "lost", "jobs": 3, "oldest_seconds": 70.0},
    ]


def test_decisions_are_kept_longer_than_the_status_has_them():
    history = History()
    history.begin("uid", (), NOW)
    for number in range(0, 30, 5):
        decisions = [
            {"time": f"2026-11-29T01:00:{second:02}Z", "replicasBefore": second, "replicas": second + 1, "reason": "Up"}
            for second in range(number + 9, number - 1, -1)
        ]
        history.note_decisions("uid", {"decisions": decisions})
    kept = decisions_of(history.decisions("uid"))
    assert [decision["to"] for decision in kept] == list(range(35, 0, -1))
    assert [decision["to"] for decision in decisions_of(history.decisions("uid"), since=kept[2]["time"])] == [35, 34]


def test_a_row_is_made_again_when_something_of_it_changed_and_only_then():
    rows, first = Rows(), snapshot(entry(types=["a"], status=reported(types=["a"])))
    depths = {"main": depths_of(first.databases["main"].reading)}
    one = first.pools[0]
    row = rows.of(first, depths)(one)
    assert rows.of(first, depths)(one) is row
    one.status = {**one.status, "reason": "Other"}
    assert rows.of(first, depths)(one)["reason"] == "Other"
    more = snapshot(one, depths={Key("a", "t1"): Depth(due=8, oldest_age_seconds=41.0)})
    assert rows.of(more, {"main": depths_of(more.databases["main"].reading)})(one)["waiting"] == 8


def test_of_several_promises_a_pool_shows_the_one_that_is_nearest_to_breaking():
    promises = {"a": 30, "b": 600}
    depths = {Key("a", "t"): Depth(due=1, oldest_age_seconds=20), Key("b", "t"): Depth(due=1, oldest_age_seconds=100)}
    (row,) = rows_of(snapshot(entry(promises=promises), depths=depths))["pools"]
    assert (row["oldest_seconds"], row["nearest_seconds"], row["promise_seconds"]) == (100, 20, 30)
    (row,) = rows_of(snapshot(entry(promises=promises), depths={}))["pools"]
    assert (row["nearest_seconds"], row["promise_seconds"]) == (None, 30)
    one = entry(promises=promises)
    held = held_of(one, None)
    document = pool_document(one, row, None, depths_of(Reading(NOW, depths)), held=held, kept=(), now=NOW)
    assert [part["promise_seconds"] for part in document["by_type"]] == [30, 600]


WINDOWS = [
    {"name": "day", "cron": "0 7 * * *", "durationSeconds": 36_000, "minReplicas": 2, "maxReplicas": 30},
    {"name": "backup", "cron": "30 7 * * *", "durationSeconds": 3_600, "maxReplicas": 5, "maxWaitSeconds": 3_600},
    {"name": "night", "cron": "0 22 * * *", "durationSeconds": 28_800, "maxWaitSeconds": 7_200},
]


def test_a_row_has_the_limits_that_hold_now_and_the_windows_that_set_them():
    (row,) = rows_of(snapshot(entry(schedules=WINDOWS)))["pools"]
    assert (row["min"], row["max"], row["promise_seconds"]) == (2, 5, 3_600)
    assert row["windows"] == {"min": "day", "max": "backup", "promise": "backup"}
    (row,) = rows_of(snapshot(entry(schedules=WINDOWS[2:])))["pools"]
    assert (row["min"], row["max"], row["promise_seconds"], row["windows"]) == (0, 10, 60, {})


def test_a_window_changes_the_promise_of_types_without_one_of_their_own():
    one = entry(promises={"a": 30}, schedules=WINDOWS)
    taken = snapshot(one, depths={Key("a", "t"): Depth(due=1, oldest_age_seconds=20)})
    (row,) = rows_of(taken)["pools"]
    assert (row["nearest_seconds"], row["promise_seconds"], row["windows"]) == (20, 30, {"min": "day", "max": "backup"})
    held = held_of(one, taken.databases["main"])
    document = pool_document(one, row, None, None, held=held, kept=(), now=NOW)
    assert [part["promise_seconds"] for part in document["by_type"]] == [30, 3_600]


def test_a_job_is_held_against_the_promise_of_the_time_at_which_it_fell_due():
    """The window with the shorter promise opened a minute ago."""
    short = [{"name": "short", "cron": "59 7 * * *", "durationSeconds": 3_600, "maxWaitSeconds": 5}]
    depths = {Key("a", "t"): Depth(due=1, oldest_age_seconds=90)}
    (row,) = rows_of(snapshot(entry(schedules=short, maxWaitSeconds=600), depths=depths))["pools"]
    assert (row["nearest_seconds"], row["promise_seconds"], row["windows"]) == (90, 600, {})
    (row,) = rows_of(snapshot(entry(schedules=short, maxWaitSeconds=600), depths={}))["pools"]
    assert (row["promise_seconds"], row["windows"]) == (5, {"promise": "short"})


def test_a_job_older_than_every_calendar_hides_no_pool():
    depths = {Key("a", "t"): Depth(due=1, oldest_age_seconds=2.1e11)}
    (row,) = rows_of(snapshot(entry(schedules=WINDOWS), depths=depths))["pools"]
    assert (row["nearest_seconds"], row["promise_seconds"]) == (2.1e11, 3_600)


@pytest.mark.parametrize("promises", [{}, {"a": 30, "b": 600}], ids=["one promise", "two"])
def test_jobs_of_a_paused_tenant_are_not_the_oldest_anywhere(promises):
    one = entry(tenants={"overrides": {"t1": 0}}, promises=promises)
    taken = snapshot(one)
    depths = depths_of(taken.databases["main"].reading)
    (row,) = rows_of(taken)["pools"]
    assert (row["waiting"], row["oldest_seconds"], row["nearest_seconds"]) == (8, 5.0, 5.0)
    held = held_of(one, taken.databases["main"])
    document = pool_document(one, row, None, depths, held=held, kept=(), now=NOW)
    assert [(part["waiting"], part["oldest_seconds"]) for part in document["by_type"]] == [(7, None), (1, 5.0)]
    assert samples.sample(one, taken, {"main": depths}).oldest_seconds == 5.0
    (first, _) = tenants_of(one, depths)
    assert (first["oldest_seconds"], first["limit"]) == (41.0, "paused")


def test_of_the_views_limits_only_those_of_the_tenants_in_question_are_looked_at():
    """A view may limit each of 64 types: each of 200 tenants for each of them would hold up the controller."""
    limiting = Limiting({Key("a", "t1"): Limit(9), Key("b", "another"): Limit(0)}, NOW)
    (pool,) = in_force_of([entry()], ["t1", "t2"], limiting)
    assert pool.types == ("a",)
    assert pool.limits.typed.keys() == {Key("a", "t1")}


def test_a_tenant_with_limits_for_many_types_of_several_pools_has_the_lowest_of_all():
    """More than one status may hold: each pool has 64 types."""
    first, second = ([f"{name}{number}" for number in range(64)] for name in "ab")
    shared = {Key(type_, "t1"): Limit(100 + index) for index, type_ in enumerate(first + second)}
    shared |= {Key("b63", "t1"): Limit(0), Key("b7", "t1"): Limit(3), Key("a0", "t1"): Limit(None, 2)}
    pools = in_force_of([entry("p", types=first), entry("q", types=second)], ["t1"], Limiting(shared, NOW))
    words = [*(f"a{number}: cap {100 + number}" for number in range(1, 7)), "b7: cap 3", "b63: paused"]
    assert limit_fields("t1", 1, pools)["limit"] == "; ".join(words)


VIEW = {Key(ALL_TYPES, "t1"): Limit(None, 3, NOW + 60), Key("b", "t1"): Limit(0), Key("a", "t1"): Limit(9)}


def test_every_table_of_tenants_has_their_limits_in_the_words_of_why():
    reading = Reading(NOW, {**DEPTHS, Key("b", "t1"): Depth(due=1)})
    one, depths, limiting = entry(tenants={"maxConcurrent": 4}), depths_of(reading), Limiting(VIEW, NOW)
    words = "weight 3 until 2027-01-15 08:01:00Z; a: cap 9; b: paused"
    failed = job_documents.Failed()
    rows = job_documents.tenant_rows([one], depths, ["a", "b"], 6, failed, limiting)["rows"]
    assert [(row["cap"], row["limit"]) for row in rows] == [(4, words), (4, "")]
    assert [(row["cap"], row["limit"]) for row in tenants_of(one, depths, limiting)] == [(4, words), (4, "")]
    limits = in_force_of([one], ["t1"], limiting)
    parts = job_documents.tenant_parts("t1", [one], depths, lambda _: True, limits)
    assert [(part["type"], part["cap"], part["limit"]) for part in parts] == [("a", 9, ""), ("b", 0, "paused")]
    own = reported(reading, types=["a", "b"], tenants={"maxConcurrent": 4}, shared=VIEW)["tenants"][0]
    assert limit_words(TenantStatus.model_validate(own)).removeprefix("cap 4, ") == words
