"""The further traces, and what they need of the simulated cluster: partial failures, a slow clock, followed jobs."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.reading import Key
from jobtide_controller.simulate import unseen
from jobtide_controller.simulate.followed import FOLLOWED
from jobtide_controller.simulate.run import Options
from jobtide_controller.simulate.trace import Job, Span
from tests.unit.simulate.worlds import cluster

KEPT = [name for name in unseen.names() if not name.startswith("slow-start")]
LARGE = {"bulk-many"}  # takes a quarter of a minute

KEY = Key("job", "t1")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KEPT if name not in LARGE])
def test_the_promise_is_kept_on_traces_that_no_constant_was_chosen_on(name):
    outcome = unseen.outcome(name, Options())
    assert outcome.late_share < 0.015
    assert (outcome.busy_stopped, outcome.unfinished) == (0, 0)


@pytest.mark.slow
def test_a_backlog_of_300_000_is_sized_as_well_as_one_of_a_thousand():
    outcome = unseen.outcome("bulk-many", Options())
    assert (outcome.late_share, outcome.unfinished) == (0.0, 0)
    assert outcome.cost < 1.1


@pytest.mark.slow
def test_a_further_trace_follows_from_its_seed():
    first, again, other = (unseen.outcome("small-bursts", Options(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first.waits != other.waits


@pytest.mark.slow
def test_a_load_of_constant_slots_changes_the_workers_less_than_every_ten_seconds():
    outcome = unseen.outcome("one-slot", Options())
    assert outcome.changes < 360
    assert outcome.cost < 1.2


def test_a_share_of_the_attempts_fails():
    jobs = [Job(0.0, 1.0) for _ in range(400)]
    made = cluster(jobs, workers=100, failing=(Span(0.0, 7.0),), failing_share=0.5)
    made.advance(6.5)
    assert 150 < made.open_jobs < 250


def test_a_clock_that_is_behind_makes_rows_younger_and_never_younger_than_new():
    made = cluster([Job(0.0, 60.0), Job(20.0, 60.0)], slow_clock=(Span(30.0, 40.0),), behind_seconds=25.0)
    made.advance(30.0)
    behind = made.reading()
    assert behind.taken_at == 5.0
    assert behind.depths[KEY].oldest_age_seconds == 5.0
    made.advance(40.0)
    assert made.reading().depths[KEY].oldest_age_seconds == 40.0


def test_some_running_jobs_are_followed_to_the_next_reading():
    made = cluster([Job(0.0, 4.0)] * 100 + [Job(0.0, 60.0)] * 100, workers=50)
    made.advance(6.0)
    assert made.reading().depths[KEY].followed == 0
    made.advance(10.0)
    depth = made.reading().depths[KEY]
    assert depth.followed == FOLLOWED
    assert 16 < depth.followed_ended < 48
    # Those that ended did so after 3 s, the others ran for 4 s.
    assert depth.followed_seconds == pytest.approx(4.0 * FOLLOWED - depth.followed_ended)
