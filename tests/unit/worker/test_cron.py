"""Cron expressions against a reference, also on the nights when clocks change; errors name the mistake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from jobtide import Tide
from jobtide.cron.expression import parse, zone_of
from jobtide.cron.schedule import slot_of
from jobtide.job import Job

TENANT = UUID(int=7)
EXPRESSIONS = [
    "* * * * *",
    "*/7 * * * *",
    "0 3 * * *",
    "30 2 * * *",
    "15,45 1-3 * * *",
    "5 */2 * * *",
    "10 0/5 * * *",
    "0 9-17/4 * * MON-FRI",
    "0 0 1,15 * 5",
    "0 0 */10 * mon",
    "0 0 13 * */3",
    "59 23 31 * *",
    "0 12 29 feb *",
    "1 1 1 jan-mar/2 *",
    "0 0 * * 0,7",
    "0 0 * * 5-7",
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago"]


def slots(expression, zone, after):
    parsed = parse(expression)
    while True:
        after = parsed.next_after(after, zone_of(zone))
        yield after


def reference(expression, zone, after):
    """cronsim returns a time twice where two fixed times fall into one gap."""
    last = None
    for moment in CronSim(expression, after.astimezone(UTC if zone == "UTC" else ZoneInfo(zone))):
        if moment.astimezone(UTC) != last:
            last = moment.astimezone(UTC)
            yield last


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize(
    "day",
    ["2026-03-07", "2026-03-28", "2026-10-24", "2026-12-30"],
)
def test_the_next_slots_are_those_of_debians_cron(expression, zone, day):
    after = datetime.fromisoformat(f"{day}T12:00Z")
    expected = list(islice(reference(expression, zone, after), 60))
    assert list(islice(slots(expression, zone, after), len(expected))) == expected


def field(smallest, largest):
    number = st.integers(smallest, largest)
    # the reference reads 5-5/1 as 5/1
    span = st.tuples(number, number).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: f"{pair[0]}-{pair[1]}")
    step = st.integers(1, largest)
    term = st.one_of(
        number.map(str), span, st.just("*"), st.builds("*/{}".format, step), st.builds("{}/{}".format, span, step)
    )
    return st.lists(term, min_size=1, max_size=3).map(",".join)


@pytest.mark.slow
@given(
    st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7)).map(" ".join),
    st.integers(1_577_836_800, 2_208_988_800),
)
def test_any_expression_agrees_with_the_reference(expression, after):
    after = datetime.fromtimestamp(after, UTC)
    expected = list(islice(reference(expression, "UTC", after), 3))
    assert list(islice(slots(expression, "UTC", after), 3)) == expected


@pytest.mark.parametrize(
    ("expression", "day", "expected"),
    [
        pytest.param("30 2 * * *", "2026-03-29", ["03:00+02:00"], id="in the gap: the first minute after"),
        pytest.param("30 2 * * *", "2026-10-25", ["02:30+02:00"], id="an hour that comes twice: once"),
        pytest.param("30 * * * *", "2026-03-29", None, id="every hour of a day with 23"),
        pytest.param("30 * * * *", "2026-10-25", None, id="every hour of a day with 25"),
    ],
)
def test_a_job_keeps_its_promise_when_clocks_change(expression, day, expected):
    zone = ZoneInfo("Europe/Berlin")
    midnight = datetime.fromisoformat(day).replace(tzinfo=zone)
    begin, end = midnight.astimezone(UTC), (midnight + timedelta(days=1)).astimezone(UTC)
    found = []
    for slot in slots(expression, "Europe/Berlin", begin - timedelta(seconds=1)):
        if slot >= end:
            break
        found.append(slot.astimezone(zone).isoformat()[11:16] + slot.astimezone(zone).isoformat()[19:])
    assert found == expected if expected else len(found) == (end - begin) / timedelta(hours=1)


@pytest.mark.parametrize(
    ("macro", "expression"),
    [("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@Weekly", "0 0 * * sun"), ("@monthly", "0 0 1 * *"),
     ("@yearly", "0 0 1 1 *")],
)  # fmt: skip
def test_a_macro_is_its_expression(macro, expression):
    after = datetime(2026, 11, 24, tzinfo=UTC)
    assert parse(macro).next_after(after, UTC) == parse(expression).next_after(after, UTC)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("0 3 * *", "expected five fields"),
        ("", "expected five fields"),
        ("@reboot", "expected five fields"),
        ("60 * * * *", "minute '60': expected \\*, 0 to 59"),
        ("* 24 * * *", "hour '24'"),
        ("* * 0 * *", "day of month '0'"),
        ("* * * 13 *", "month '13': expected \\*, 1 to 12 or jan to dec"),
        ("* * * * mun", "day of week 'mun'"),
        ("*/0 * * * *", "minute '\\*/0'"),
        ("5-1 * * * *", "minute '5-1'"),
        ("1,,2 * * * *", "minute '1,,2'"),
        ("-1 * * * *", "minute '-1'"),
        ("1.5 * * * *", "minute '1.5'"),
        ("\u0663 * * * *", "minute"),
        ("0 0 30 2 *", "no such day"),
    ],
    ids=str,
)
def test_a_wrong_expression_is_refused_at_registration_and_names_its_field(expression, reason):
    with pytest.raises(ValueError, match=reason):
        Tide().cron(expression, "t", tenant_id=TENANT)


def test_the_error_of_an_unknown_timezone_names_the_package_to_add():
    with pytest.raises(ValueError, match=r"timezone='Berlin'.*tzdata"):
        Tide().cron("@daily", "t", tenant_id=TENANT, timezone="Berlin")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"tenant_id": "acme"}, "tenant_id='acme': expected a UUID"),
        ({"tenant_id": TENANT, "payload": {1, 2}}, "payload of 't' is not"),
    ],
    ids=["tenant", "payload"],
)
def test_a_schedule_that_could_not_be_stored_is_refused_at_registration(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        Tide().cron("@daily", "t", **arguments)


def test_cron_registers_a_handler_and_schedules_can_be_stacked():
    tide = Tide()

    @tide.cron("0 11 * * sat,sun", "report", tenant_id=TENANT, name="weekend")
    @tide.cron("0 9 * * mon-fri", "report", tenant_id=TENANT, max_attempts=3)
    def report(payload): ...

    assert tide.handlers["report"].function is report
    assert tide.handlers["report"].max_attempts == 3
    assert [schedule.name for schedule in tide.schedules] == ["", "weekend"]


def test_two_schedules_of_one_type_and_tenant_need_names():
    tide = Tide()
    tide.cron("@daily", "t", tenant_id=TENANT)(print_nothing)
    with pytest.raises(ValueError, match="give each a name"):
        tide.cron("@hourly", "t", tenant_id=str(TENANT))


def test_a_schedule_for_another_functions_type_is_refused():
    tide = Tide()
    tide.job("t")(lambda payload: 1)
    with pytest.raises(ValueError, match="has a handler already"):
        tide.cron("@daily", "t", tenant_id=TENANT)(print_nothing)


def print_nothing(payload): ...


def test_a_job_knows_its_slot():
    tide = Tide()
    tide.cron("0 3 * * *", "t", tenant_id=TENANT, name="nightly")(print_nothing)
    (schedule,) = tide.schedules
    slot = schedule.next_slot(datetime(2026, 11, 24, 12, tzinfo=UTC))
    new = schedule.job(slot)
    job = Job(new.job_id, TENANT, "t", None, attempt=2, token="jobtide:p:n")
    assert slot == new.run_at == datetime(2026, 11, 25, 3, tzinfo=UTC)
    assert slot_of(job, "nightly") == slot
    assert slot_of(job) is None
