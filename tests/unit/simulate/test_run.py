"""The closed loop: what an outcome counts, and that skipping idle time does not change it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.simulate.keda import Keda, KedaSettings
from jobtide_controller.simulate.run import Options, StartTimes, run
from jobtide_controller.simulate.scalers import DEPTH_CAP, Jobtide
from jobtide_controller.simulate.trace import Job, Span
from jobtide_controller.simulate.traces import MEANING, built_in, names
from tests.unit.simulate.worlds import OPTIONS, few, spec, trace

pytestmark = pytest.mark.slow


def test_one_job_at_zero_workers_waits_for_one_tick_and_one_start():
    outcome = run(trace([Job(10.0, 1.0)]), spec(), Jobtide(spec()), OPTIONS)
    assert (outcome.waits, outcome.workers_max, outcome.unfinished) == ((5.0,), 1, 0)


def test_a_burst_of_unknown_jobs_keeps_the_promise_and_the_fleet_returns_to_zero():
    outcome = run(trace([Job(0.0, 1.0)] * 2_000), spec(), Jobtide(spec()), OPTIONS)
    assert (outcome.late_share, outcome.busy_stopped, outcome.samples[-1].workers) == (0.0, 0, 0)


def test_the_promise_does_not_cover_capped_tenants():
    policy = spec(tenants={"overrides": {"capped": 1}})
    jobs = [Job(0.0, 10.0, tenant_id="capped")] * 20 + [Job(0.0, 1.0, tenant_id="free")]
    outcome = run(trace(jobs), policy, Jobtide(policy), OPTIONS)
    assert (len(outcome.waits), outcome.late_share, outcome.unfinished) == (1, 0.0, 0)


def test_jobs_that_are_never_done_count_as_late():
    policy = spec(maxReplicas=1, concurrency=1)
    hopeless = Options(start=OPTIONS.start, hopeless_seconds=100.0)
    outcome = run(trace([Job(0.0, 60.0)] * 10), policy, Jobtide(policy), hopeless)
    assert outcome.unfinished == 9
    assert outcome.late_share == pytest.approx(9 / 11, abs=0.2)


def test_an_unreadable_table_holds_the_fleet():
    jobs = [Job(float(second), 1.0) for second in range(60)] + [Job(70.0, 1.0)] * 500
    outcome = run(trace(jobs, unreadable=(Span(65.0, 100.0),)), spec(), Jobtide(spec()), OPTIONS)
    held = {sample.workers for sample in outcome.samples if 65 <= sample.at < 100}
    assert len(held) == 1


def test_a_queue_beyond_the_counting_cap_still_keeps_the_promise():
    outcome = run(trace([Job(0.0, 0.01)] * (2 * DEPTH_CAP)), spec(), Jobtide(spec()), OPTIONS)
    assert (outcome.late_share, outcome.unfinished) == (0.0, 0)


def test_the_same_seed_gives_the_same_result_and_another_seed_another():
    jobs = trace([Job(number / 10, 1.0) for number in range(300)])
    first, again, other = (run(jobs, spec(), Jobtide(spec()), Options(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first.waits != other.waits


class _NeverSkipping:
    """A scaler that runs at every tick."""

    def __init__(self, scaler) -> None:
        self.name, self.replicas, self.removal_order = scaler.name, scaler.replicas, scaler.removal_order

    def skip_idle(self, cluster):
        return None


@few
@given(
    st.lists(st.sampled_from([1.0, 30.0, 700.5]), min_size=1, max_size=3),
    st.sampled_from(["jobtide", "one warm worker", "floors by the clock", "keda"]),
)
def test_skipping_idle_time_changes_nothing(gaps, name):
    moments = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    jobs = trace([Job(moment, 3.0) for moment in moments for _ in range(3)])
    clock = [{"name": "often", "cron": "*/5 * * * *", "durationSeconds": 120, "minReplicas": 2}]
    schedules = clock if name == "floors by the clock" else []
    policy = spec(minReplicas=int(name == "one warm worker"), schedules=schedules)

    def make():
        return Keda(KedaSettings(4), policy) if name == "keda" else Jobtide(policy)

    skipping, ticking = run(jobs, policy, make(), OPTIONS), run(jobs, policy, _NeverSkipping(make()), OPTIONS)
    assert (skipping.waits, skipping.worker_seconds) == (ticking.waits, pytest.approx(ticking.worker_seconds))


@pytest.mark.parametrize("name", names())
def test_every_built_in_trace_has_a_meaning_and_an_order(name):
    made = built_in(name, 1)
    assert made.name == name
    assert MEANING[name]
    assert all(earlier.created_at <= later.created_at for earlier, later in pairwise(made.jobs))


def test_a_built_in_trace_follows_from_its_seed():
    assert built_in("trickle", 1) == built_in("trickle", 1) != built_in("trickle", 2)


def test_workers_start_within_the_bounds_around_their_median():
    start = StartTimes.around(10.0)
    assert (start.least_seconds, start.most_seconds) == (4.0, 30.0)
    assert 10.0 < start.mean_seconds < 13.0
