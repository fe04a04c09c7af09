"""Tests the scaling law on a simulated cluster: it is stable, scales down, keeps the promise, stops no busy worker."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.history import History
from tests.unit.decide.simulation import START_SECONDS, simulate

pytestmark = pytest.mark.slow

HOLD_SECONDS = 2 * START_SECONDS
WARM_SECONDS = 3 * HOLD_SECONDS


@pytest.mark.parametrize(
    ("job_seconds", "jobs_per_second", "last_change"),
    [
        pytest.param(0.01, 30, 41, id="tiny-jobs"),
        pytest.param(0.2, 5, 41, id="small-jobs"),
        pytest.param(1, 8, 41, id="second-long-jobs"),
        pytest.param(7, 0.5, 60, id="seven-second-jobs"),
        pytest.param(60, 0.2, 580, id="minute-long-jobs"),
    ],
)
def test_number_of_workers_becomes_constant_at_a_constant_rate(job_seconds, jobs_per_second, last_change):
    simulation = simulate(job_seconds).run(700, jobs_per_second)
    assert simulation.last_change <= last_change
    assert simulation.busy_stopped == 0


@pytest.mark.parametrize(
    ("job_seconds", "jobs_per_second"), [pytest.param(0.01, 30, id="tiny"), pytest.param(1, 8, id="second-long")]
)
def test_steady_load_starts_within_the_promise(job_seconds, jobs_per_second):
    simulation = simulate(job_seconds).run(300, jobs_per_second)
    assert max(simulation.waits) <= 30


def test_burst_of_unknown_jobs_starts_within_the_promise():
    simulation = simulate(1.0).run(1, 2_000).run(60)
    assert not simulation.queue
    assert max(simulation.waits) <= 30


@pytest.mark.parametrize("jobs", [pytest.param(1, id="one-job"), pytest.param(500, id="a-burst")])
def test_after_the_last_job_the_pool_is_at_its_minimum_within_warm_time_and_hold(jobs):
    simulation = simulate(1.0).run(1, jobs)
    while simulation.queue or any(worker.running(simulation.now) for worker in simulation.workers):
        simulation.run(1)
    assert simulation.run(int(WARM_SECONDS + HOLD_SECONDS) + 1).replicas == 0


def test_lowered_maximum_stops_no_busy_worker_and_is_reached_when_they_are_idle():
    simulation = simulate(20.0).run(1, 120).run(20)
    before = simulation.replicas
    simulation.policy = simulation.policy.model_copy(update={"max_replicas": 3})
    simulation.run(1)
    assert (before, simulation.replicas) == (30, 30)
    simulation.run(60)
    assert simulation.busy_stopped == 0
    assert simulation.replicas is not None
    assert simulation.replicas <= 3


def test_restarted_controller_keeps_the_fleet_through_its_first_hold():
    simulation = simulate(1.0).run(120, 8)
    before = simulation.replicas
    simulation.history = History(types=simulation.history.types)
    assert before is not None
    assert min(simulation.run(int(HOLD_SECONDS), 8).decided[-int(HOLD_SECONDS) :]) >= before
