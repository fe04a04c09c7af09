"""Windows by the clock in the simulator: what a floor at nine does to a burst at nine."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobtide_controller.simulate.csvfile import from_epoch
from jobtide_controller.simulate.run import Options, StartTimes, run
from jobtide_controller.simulate.scalers import Jobtide
from jobtide_controller.simulate.trace import MONDAY, Job
from tests.unit.simulate.worlds import OPTIONS, spec, trace

FLOOR = {
    "name": "nine",
    "cron": "0 9 * * *",
    "timezone": "Europe/Berlin",
    "durationSeconds": 600,
    "minReplicas": 10,
}
SLOW_STARTS = Options(start=StartTimes.around(20.0))


def epoch(text):
    return datetime.fromisoformat(text).timestamp()


def morning(nine):
    """An early job, so that workers' starts are known, and 200 jobs of 4 s in the ten seconds from nine on."""
    early = [Job(nine - 1_800 + 60 * number, 1.0) for number in range(3)]
    return from_epoch("morning", [*early, *(Job(nine + number / 20, 4.0) for number in range(200))])


def outcome(given, options=SLOW_STARTS, **fields):
    policy = spec(maxWaitSeconds=15, **fields)
    return run(given, policy, Jobtide(policy), options)


@pytest.mark.parametrize(
    "nine",
    [
        pytest.param("2026-03-27T08:00Z", id="winter"),
        pytest.param("2026-03-29T07:00Z", id="the-day-of-the-change"),
        pytest.param("2026-07-01T07:00Z", id="summer"),
    ],
)
def test_a_floor_by_the_clock_removes_the_lateness_of_a_burst_at_nine(nine):
    given = morning(epoch(nine))
    without, floored = outcome(given), outcome(given, schedules=[FLOOR])
    early_jobs = 3 / len(given.jobs)  # their worker starts for longer than promised
    assert without.late_share > 0.4
    assert floored.late_share <= early_jobs
    assert floored.busy_stopped == 0


def test_a_floor_at_another_time_removes_nothing():
    given = morning(epoch("2026-03-27T08:00Z"))
    assert outcome(given, schedules=[{**FLOOR, "timezone": "UTC"}]).late_share == outcome(given).late_share


def test_all_workers_of_a_floor_are_up_when_their_window_begins():
    nine = epoch("2026-07-01T07:00Z")
    given = morning(nine)
    policy = spec(schedules=[FLOOR])
    samples = run(given, policy, Jobtide(policy), OPTIONS).samples
    workers = {given.began_at + sample.at: sample.workers for sample in samples}
    asked_at = min(at for at, number in workers.items() if number == 10)
    assert nine - 12.0 <= asked_at <= nine - 9.0  # twice the five seconds that each takes


def test_a_ceiling_stops_no_busy_worker_and_holds_from_then_on():
    given = trace([Job(3_540.0, 120.0) for _ in range(40)] + [Job(4_000.0, 1.0) for _ in range(400)])
    ceiling = {"name": "low", "cron": "0 1 * * *", "durationSeconds": 3_600, "maxReplicas": 2}
    found = outcome(given, OPTIONS, schedules=[ceiling])
    assert found.busy_stopped == 0
    assert found.workers_max > 2
    assert max(sample.workers for sample in found.samples if 3_750 < sample.at < 7_200) == 2


def test_a_job_is_late_by_the_promise_of_the_time_at_which_it_fell_due():
    jobs = [Job(1_800.0, 1.0), Job(3_700.0, 1.0)]
    patient = {"name": "patient", "cron": "0 1 * * *", "durationSeconds": 3_600, "maxWaitSeconds": 60}
    policy = spec(maxWaitSeconds=2)
    assert run(trace(jobs), policy, Jobtide(policy), OPTIONS).late_share == 1.0
    policy = spec(maxWaitSeconds=2, schedules=[patient])
    assert run(trace(jobs), policy, Jobtide(policy), OPTIONS).late_share == 0.5


def test_a_trace_without_dates_begins_on_a_monday():
    assert datetime.fromtimestamp(MONDAY, UTC) == datetime(2026, 1, 5, tzinfo=UTC)
    assert trace([]).began_at == MONDAY
