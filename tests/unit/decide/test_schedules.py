"""Windows by the clock: which limits hold when, also where clocks change, and when that changes next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.api.schedules import shortest_period_seconds
from jobtide_controller.decide.clamps import ClampName
from jobtide_controller.decide.history import History, Learned, Recommendation
from jobtide_controller.decide.reading import Depth, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.reasons import Note, Reason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.decide.schedules import LEAD_STARTS, Active, Coming, in_force, promised_seconds
from tests.unit.decide.builders import A, fleet, share, spec, worlds

MINUTE = 60.0
DAY = {"name": "day", "cron": "0 9 * * mon-fri", "durationSeconds": 9 * 3_600, "minReplicas": 8, "maxReplicas": 30}
NIGHT = {"name": "night", "cron": "0 22 * * *", "durationSeconds": 8 * 3_600, "maxReplicas": 2, "maxWaitSeconds": 900}
SALE = {"name": "sale", "cron": "0 12 * * fri", "durationSeconds": 7_200, "minReplicas": 20, "maxReplicas": 60}


def at(text: str, zone: str = "UTC") -> float:
    """Local time of day; of the two where an hour comes twice, the first."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def pool(*schedules, **fields):
    return spec(**{"maxReplicas": 40, "schedules": schedules, **fields})


def limits(policy, now, start_seconds=0.0):
    held = in_force(policy, now, start_seconds).spec
    return held.min_replicas, held.max_replicas, held.wait_seconds


def opens(schedule, moments):
    """Of these moments, those at which the window is open."""
    return [moment for moment in moments if in_force(pool(schedule), moment, 0.0).active]


def test_pool_without_schedules_has_no_windows():
    assert in_force(spec(), at("2026-11-27T12:00"), 10.0) is None
    assert promised_seconds(spec(maxWaitSeconds=7), 0.0) == 7


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        pytest.param("2026-11-27T08:59:59", (1, 40, 60), id="before"),
        pytest.param("2026-11-27T09:00:00", (8, 30, 60), id="begins"),
        pytest.param("2026-11-27T12:00:00", (20, 60, 60), id="the-later-in-the-list-wins"),
        pytest.param("2026-11-27T14:00:00", (8, 30, 60), id="the-earlier-one-holds-again"),
        pytest.param("2026-11-27T18:00:00", (1, 40, 60), id="ended"),
        pytest.param("2026-11-27T22:00:00", (1, 2, 900), id="other-fields-stay"),
        pytest.param("2026-11-28T05:59:59", (1, 2, 900), id="over-midnight"),
        pytest.param("2026-11-28T12:00:00", (1, 40, 60), id="weekend"),
    ],
)
def test_the_last_open_window_of_the_list_decides_each_limit(moment, expected):
    assert limits(pool(DAY, SALE, NIGHT, minReplicas=1), at(moment)) == expected


def test_the_order_of_the_list_decides_and_not_the_order_of_the_times():
    assert limits(pool(SALE, DAY), at("2026-11-27T12:30"))[:2] == (8, 30)


def test_limits_are_decided_one_by_one():
    floor = {"name": "floor", "cron": "0 9 * * *", "durationSeconds": 3_600, "minReplicas": 5}
    promise = {"name": "promise", "cron": "30 9 * * *", "durationSeconds": 3_600, "maxWaitSeconds": 5}
    held = in_force(pool(floor, promise), at("2026-11-27T09:45"), 0.0)
    assert held.active == (
        Active("floor", at("2026-11-27T10:00"), ("minReplicas",)),
        Active("promise", at("2026-11-27T10:30"), ("maxWaitSeconds",)),
    )
    assert (held.spec.min_replicas, held.spec.wait_seconds) == (5, 5)


def test_a_floor_never_exceeds_the_ceiling_in_force():
    ceiling = {"name": "backup", "cron": "0 12 * * *", "durationSeconds": 3_600, "maxReplicas": 3, "minReplicas": 0}
    floor = {"name": "all-day", "cron": "0 0 * * *", "durationSeconds": 86_400, "minReplicas": 8}
    assert limits(pool(ceiling, floor), at("2026-11-27T12:30"))[:2] == (3, 3)


def test_a_floor_is_early_by_two_starts_of_a_worker():
    policy, begins = pool(DAY), at("2026-11-27T09:00")
    lead = LEAD_STARTS * 30.0
    assert limits(policy, begins - lead - 1, 30.0) == (0, 40, 60)
    assert limits(policy, begins - lead, 30.0) == (8, 40, 60)
    assert in_force(policy, begins - lead - 1, 30.0).changes_at == begins - lead
    assert in_force(policy, begins - 1, 30.0).active == ()


def test_an_early_floor_may_exceed_a_ceiling_that_ends_with_its_beginning():
    night = {"name": "night", "cron": "0 22 * * *", "durationSeconds": 11 * 3_600, "maxReplicas": 2}
    assert limits(pool(night, DAY), at("2026-11-27T08:59:50"), 10.0)[:2] == (8, 8)
    assert limits(pool(night, DAY), at("2026-11-27T09:00:00"), 10.0)[:2] == (8, 30)


def test_a_ceiling_is_never_early_and_a_floor_never_ends_early():
    night = {"name": "night", "cron": "0 22 * * *", "durationSeconds": 3_600, "maxReplicas": 2}
    assert limits(pool(night), at("2026-11-27T21:59:59"), 600.0)[1] == 40
    assert limits(pool(DAY), at("2026-11-27T17:59:59"), 600.0)[0] == 8


def test_a_job_keeps_the_promise_of_the_time_at_which_it_fell_due():
    quick = {"name": "quick", "cron": "0 9 * * *", "durationSeconds": 3_600, "maxWaitSeconds": 10}
    begins = at("2026-11-27T09:00")
    assert [promised_seconds(pool(quick), begins + seconds) for seconds in (-1, 0, 3_600)] == [60, 10, 60]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_job_older_than_every_calendar_is_late_and_no_error(zone):
    """The table takes a created_at of 4,713 BC, and who adds a job may set it."""
    quick = {"name": "quick", "cron": "0 9 * * *", "timezone": zone, "durationSeconds": 3_600, "maxWaitSeconds": 10}
    ages = (63e9, 64e9, 2.1e11, float("inf"))
    assert [in_force(pool(quick), NOON, 0.0).promised_to(age) for age in ages] == [60.0] * 4
    assert Note.PROMISE_MISSED in decided({A: Depth(due=1, oldest_age_seconds=2.1e11)}, {"maxWaitSeconds": 5}).notes


def test_the_windows_in_force_and_the_next_one_are_named():
    held = in_force(pool(DAY, NIGHT), at("2026-11-27T12:00"), 0.0)
    assert (held.min_by, held.max_by) == ("day", "day")
    assert held.active == (Active("day", at("2026-11-27T18:00"), ("minReplicas", "maxReplicas")),)
    assert held.coming == Coming("night", at("2026-11-27T22:00"))
    assert held.changes_at == at("2026-11-27T18:00")


def test_windows_that_touch_each_other_are_one():
    weekend = {"name": "weekend", "cron": "0 0 * * sat,sun", "durationSeconds": 86_400, "maxReplicas": 4}
    held = in_force(pool(weekend), at("2026-11-28T12:00"), 0.0)
    assert held.active[0].until == held.changes_at == at("2026-11-30T00:00")
    assert held.coming == Coming("weekend", at("2026-12-05T00:00"))


def test_a_window_that_never_ends_is_open():
    always = {"name": "always", "cron": "0 0 * * *", "durationSeconds": 86_400, "minReplicas": 4}
    assert len(opens(always, [at("2026-11-27T00:00") + hours * 3_600 for hours in range(49)])) == 49


@pytest.mark.parametrize(
    ("zone", "cron", "hours", "begins", "ends"),
    [
        pytest.param(
            "Europe/Berlin",
            "0 22 * * *",
            8,
            "2026-03-28T21:00Z",
            "2026-03-29T05:00Z",
            id="across-spring-7-by-the-clock",
        ),
        pytest.param(
            "Europe/Berlin",
            "0 22 * * *",
            8,
            "2026-10-24T20:00Z",
            "2026-10-25T04:00Z",
            id="across-autumn-5-by-the-clock",
        ),
        pytest.param("Europe/Berlin", "0 9 * * *", 9, "2026-03-29T07:00Z", "2026-03-29T16:00Z", id="day-of-spring"),
        pytest.param("Europe/Berlin", "0 9 * * *", 9, "2026-10-25T08:00Z", "2026-10-25T17:00Z", id="day-of-autumn"),
        pytest.param(
            "Europe/Berlin", "30 2 * * *", 1, "2026-03-29T01:00Z", "2026-03-29T02:00Z", id="begins-in-the-gap"
        ),
        pytest.param(
            "Europe/Berlin", "30 2 * * *", 1, "2026-10-25T00:30Z", "2026-10-25T01:30Z", id="the-first-of-an-hour-twice"
        ),
        pytest.param("Asia/Kolkata", "0 9 * * *", 9, "2026-11-27T03:30Z", "2026-11-27T12:30Z", id="half-hour-offset"),
        pytest.param(
            "Australia/Lord_Howe",
            "0 9 * * *",
            9,
            "2026-10-03T22:00Z",
            "2026-10-04T07:00Z",
            id="half-hour-change-spring",
        ),
        pytest.param(
            "Australia/Lord_Howe",
            "0 1 * * *",
            3,
            "2026-04-04T14:00Z",
            "2026-04-04T17:00Z",
            id="across-half-hour-autumn",
        ),
        pytest.param(
            "America/St_Johns",
            "0 9 * * *",
            1,
            "2026-11-01T12:30Z",
            "2026-11-01T13:30Z",
            id="half-hour-offset-with-change",
        ),
    ],
)
def test_windows_where_clocks_change(zone, cron, hours, begins, ends):
    schedule = {"name": "w", "cron": cron, "timezone": zone, "durationSeconds": hours * 3_600, "minReplicas": 1}
    first, last = (datetime.fromisoformat(text).timestamp() for text in (begins, ends))
    assert opens(schedule, [first - 1, first, last - 1, last]) == [first, last - 1]
    assert in_force(pool(schedule), first, 0.0).active[0].until == last


CRONS = ["0 9 * * mon-fri", "30 2 * * *", "0 22 * * *", "0 */6 * * *", "15,45 1-3 * * *", "0 0 1 * *", "0 0 * * 0"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns"]
NIGHTS = ["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31", "2026-11-27"]


@st.composite
def schedules(draw, name="w"):
    cron = draw(st.sampled_from(CRONS))
    longest = min(shortest_period_seconds(cron), 3 * 86_400) // 60
    made = {
        "name": name,
        "cron": cron,
        "timezone": draw(st.sampled_from(ZONES)),
        "durationSeconds": 60 * draw(st.integers(1, longest)),
    }
    fields = {"minReplicas": st.integers(0, 9), "maxReplicas": st.integers(0, 30), "maxWaitSeconds": st.integers(1, 90)}
    for field in draw(st.sets(st.sampled_from(sorted(fields)), min_size=1)):
        made[field] = draw(fields[field])
    return made


def begins_of(schedule, since, until):
    """By another implementation of cron."""
    zone = UTC if schedule["timezone"] == "UTC" else ZoneInfo(schedule["timezone"])
    moments = CronSim(schedule["cron"], datetime.fromtimestamp(since, zone))
    return list(takewhile(lambda moment: moment <= until, (moment.timestamp() for moment in moments)))


@given(schedules(), st.sampled_from(NIGHTS), st.integers(0, 1_439))
def test_a_window_is_open_at_exactly_the_minutes_that_a_walk_over_all_minutes_finds(schedule, day, minute):
    since = at(day) + minute * MINUTE
    moments = [since + step * MINUTE for step in range(1_800)]
    seconds = schedule["durationSeconds"]
    begins = begins_of(schedule, since - seconds - 1, moments[-1])
    walked = [moment for moment in moments if any(begin <= moment < begin + seconds for begin in begins)]
    assert opens(schedule, moments) == walked


@given(
    st.lists(schedules(), min_size=1, max_size=4),
    st.sampled_from(NIGHTS),
    st.integers(0, 2_879),
    st.sampled_from([0.0, 5.7, 60.0, 5_400.0]),
)
def test_the_floor_in_force_is_never_above_the_ceiling(listed, day, minute, start_seconds):
    policy = pool(*listed, minReplicas=3)
    least, most, _ = limits(policy, at(day) + minute * MINUTE, start_seconds)
    assert 0 <= least <= most


@given(
    st.lists(schedules(), min_size=1, max_size=4),
    st.sampled_from(NIGHTS),
    st.integers(0, 2_879),
    st.sampled_from([0.0, 5.7, 60.0, 5_400.0]),
)
def test_nothing_changes_before_the_time_at_which_to_decide_again(listed, day, minute, start_seconds):
    policy, now = pool(*listed, minReplicas=3), at(day) + minute * MINUTE + 0.3
    held = in_force(policy, now, start_seconds)
    assert held.changes_at is not None
    assert held.changes_at > now
    soon = [now + step * 97.0 for step in range(1, 200)]
    for moment in [*(moment for moment in soon if moment < held.changes_at), held.changes_at - 0.001]:
        later = in_force(policy, moment, start_seconds)
        assert (later.spec, later.active, later.coming) == (held.spec, held.active, held.coming)


@given(st.lists(schedules(), min_size=1, max_size=4), st.sampled_from(NIGHTS), st.integers(0, 1_439))
def test_without_a_lead_each_limit_is_that_of_the_last_open_window_which_sets_it(listed, day, minute):
    now = at(day) + minute * MINUTE
    expected = {"minReplicas": 3, "maxReplicas": 40, "maxWaitSeconds": 60}
    for schedule in listed:
        seconds = schedule["durationSeconds"]
        if any(begin <= now < begin + seconds for begin in begins_of(schedule, now - seconds - 1, now)):
            expected |= {field: schedule[field] for field in expected if field in schedule}
    least, most, wait = expected.values()
    assert limits(pool(*listed, minReplicas=3), now) == (min(least, most), most, wait)


def test_the_next_window_is_found_years_ahead():
    leap = {"name": "leap", "cron": "0 0 29 2 *", "durationSeconds": 3_600, "minReplicas": 1}
    assert in_force(pool(leap), at("2026-11-27T12:00"), 0.0).coming == Coming("leap", at("2028-02-29T00:00"))
    assert timedelta(seconds=at("2028-02-29T00:00") - at("2026-11-27T12:00")) > timedelta(days=400)


NOON = at("2026-11-27T12:00")
KNOWN = History(types={"a": Learned(slot_seconds=1_000, jobs=1_000, ran_seconds=900)}, recommendations=())
BURST = {A: Depth(due=3_000)}


def decided(depths, schedule, workers=None, *, now=NOON, history=KNOWN, given_share=None, **fields):
    policy = pool({"name": "lunch", "cron": "0 11 * * *", "durationSeconds": 7_200, **schedule}, **fields)
    reading = depths if isinstance(depths, Unreadable) else Reading(now, depths)
    return decide(policy, reading, workers or fleet(0), history, now, given_share)


@pytest.mark.parametrize(
    ("decision", "name", "limit", "window"),
    [
        pytest.param(decided({}, {"minReplicas": 8}), ClampName.MIN_REPLICAS, 8, "lunch", id="floor"),
        pytest.param(decided(BURST, {"maxReplicas": 5}), ClampName.MAX_REPLICAS, 5, "lunch", id="ceiling"),
        pytest.param(decided(BURST, {"maxReplicas": 0}), ClampName.MAX_REPLICAS, 0, "lunch", id="no-workers"),
        pytest.param(
            decided(BURST, {"minReplicas": 3}, maxReplicas=7), ClampName.MAX_REPLICAS, 7, None, id="own-ceiling"
        ),
    ],
)
def test_a_limit_of_a_window_is_reported_with_its_name(decision, name, limit, window):
    last = decision.limited_by[-1]
    assert (last.name, last.after, last.limit, last.window) == (name, limit, limit, window)


@pytest.mark.parametrize(
    ("decision", "replicas", "reason"),
    [
        pytest.param(decided({}, {"minReplicas": 8}, replicas=2), 2, Reason.PINNED, id="a-pin-beats-a-floor"),
        pytest.param(decided({}, {"maxReplicas": 1}, replicas=4), 4, Reason.PINNED, id="a-pin-beats-a-ceiling"),
        pytest.param(decided({}, {"minReplicas": 8}, paused=True), 0, Reason.PAUSED, id="a-pause-beats-a-floor"),
        pytest.param(
            decided({}, {"minReplicas": 8}, given_share=share(3)), 3, Reason.SCALING_UP, id="the-budget-beats-a-floor"
        ),
        pytest.param(
            decided({A: Depth(running=20)}, {"maxReplicas": 1}, fleet(6, busy=5)),
            5,
            Reason.SCALING_DOWN,
            id="a-ceiling-stops-no-busy-worker",
        ),
        pytest.param(
            decided(
                {}, {"maxReplicas": 2}, fleet(6), history=replace(KNOWN, recommendations=(Recommendation(NOON - 1, 6),))
            ),
            2,
            Reason.SCALING_DOWN,
            id="a-ceiling-does-not-wait-for-the-hold",
        ),
        pytest.param(
            decided(Unreadable(UnreadableReason.UNREACHABLE, "refused", NOON), {"minReplicas": 8}, fleet(3)),
            3,
            Reason.UNREADABLE,
            id="unreadable-keeps-the-workers",
        ),
        pytest.param(decided({}, {"minReplicas": 8}, fleet(8)), 8, Reason.IDLE, id="a-kept-floor-is-idle"),
        pytest.param(
            decided(BURST, {"maxReplicas": 0}), 0, Reason.CAPPED_BY_MAX, id="no-workers-in-a-window-is-a-ceiling"
        ),
    ],
)
def test_what_a_window_may_do_and_what_is_stronger(decision, replicas, reason):
    assert (decision.replicas, decision.reason) == (replicas, reason)


def test_an_idle_pool_is_decided_again_when_a_window_begins_or_ends():
    decision = decided({}, {"minReplicas": 8})
    assert decision.wake_at == at("2026-11-27T13:00") - LEAD_STARTS * 10.0
    assert decided({}, {"minReplicas": 8}, now=at("2026-11-27T12:59:50")).wake_at == at("2026-11-27T13:00")
    assert decided({}, {"minReplicas": 8}, paused=True).wake_at is not None


def test_a_window_with_a_shorter_promise_makes_no_older_job_late():
    quick = {"maxWaitSeconds": 5}
    begun = at("2026-11-27T11:00:10")
    late, old = (decided({A: Depth(due=1, oldest_age_seconds=age)}, quick, now=begun) for age in (6, 15))
    assert Note.PROMISE_MISSED in late.notes
    assert Note.PROMISE_MISSED not in old.notes  # due at 10:59:55, with a promise of 60 s


@given(worlds(), st.lists(schedules(), min_size=1, max_size=3))
def test_a_decision_in_a_window_is_that_of_a_pool_with_the_windows_limits(world, listed):
    if world.policy.jobs_per_worker is not None:
        listed = [{**one, "minReplicas": 1, "maxWaitSeconds": None} for one in listed]
    windows = spec(schedules=listed).schedules
    policy = world.policy.model_copy(update={"schedules": windows})
    decision = replace(world, policy=policy).decide()
    held = in_force(policy, world.now, world.fleet.start_seconds).spec
    plain = replace(world, policy=held.model_copy(update={"schedules": ()})).decide()
    assert (decision.replicas, decision.reason, decision.numbers) == (plain.replicas, plain.reason, plain.numbers)
    assert tuple(replace(clamp, window=None) for clamp in decision.limited_by) == plain.limited_by
    assert decision.wake_at is not None
    assert decision.wake_at > world.now
