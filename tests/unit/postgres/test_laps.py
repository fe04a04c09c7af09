"""Slices of one type's tenants, put together: the same sums, and the same decision, as with every tenant by itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.decide.history import History
from jobtide_controller.decide.learn import learn
from jobtide_controller.decide.reading import OTHERS, Depth, Key, Reading
from jobtide_controller.decide.scaling import decide
from jobtide_controller.postgres.arrivals import Arrivals
from jobtide_controller.postgres.laps import Counted, Lap, Slice, Waiting
from jobtide_controller.postgres.rows import reading_of
from tests.unit.decide.builders import NOW, fleet, spec

LIMIT = 5


def slice_of(tenants: dict[str, Waiting], until: str | None, *, named: set[str]) -> Slice:
    others = sum((waiting for tenant, waiting in tenants.items() if tenant not in named), Waiting())
    return Slice(until, {tenant: tenants[tenant] for tenant in named & tenants.keys()}, others)


def lap_of(tenants: dict[str, Waiting], ends: list[str], *, named: set[str], lap: Lap | None = None) -> Lap:
    """The slices end with the tenants `ends`, and with the last one."""
    lap = Lap() if lap is None else lap
    for after, until in pairwise(["", *sorted(set(ends)), None]):
        part = {name: waiting for name, waiting in tenants.items() if name > after and (not until or name <= until)}
        lap = lap.with_slice(slice_of(part, until, named=named))
    return lap


def tenants_of(counts: list[tuple[int, int]]) -> dict[str, Waiting]:
    """All due rows are of the same age."""
    aged = {"oldest_at": NOW - 8.0, "mean_at": NOW - 6.0}
    return {
        f"t{number:03}": Waiting(1, due, later, next_due_at=NOW + 60 if later else None, **(aged if due else {}))
        for number, (due, later) in enumerate(counts)
    }


def read(lap: Lap, limits: dict[str, int]) -> Reading:
    row = {"taken_at": NOW, "type": None, "running": None}
    found, _ = reading_of([row], Arrivals(), depth_cap=100, query_seconds=0.0, laps={"a": lap}, least_limits=limits)
    return found


def one_by_one(tenants: dict[str, Waiting]) -> Reading:
    return Reading(
        NOW,
        {
            Key("a", name): Depth(
                due=int(waiting.due),
                later=int(waiting.later),
                oldest_age_seconds=8.0 if waiting.due else 0.0,
                mean_age_seconds=6.0 if waiting.due else 0.0,
                next_due_at=waiting.next_due_at,
            )
            for name, waiting in tenants.items()
        },
    )


counts = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 3)).filter(lambda rows: rows != (0, 0)), min_size=1, max_size=120
)
ends = st.lists(st.integers(0, 120).map(lambda number: f"t{number:03}"), max_size=6)


@given(counts, ends, st.booleans(), st.booleans())
def test_the_decision_is_the_one_of_every_tenant_by_itself(rows, ends, limited, counted):
    tenants = tenants_of(rows)
    named = {name for name, waiting in tenants.items() if waiting.due >= LIMIT} if limited else set()
    policy = spec(types=["a"], maxReplicas=1000, maxWaitSeconds=10, tenants={"maxConcurrent": LIMIT} if limited else {})
    lap = lap_of(tenants, ends, named=named)
    if counted:
        lap = replace(lap, counted=Counted(sum(tenants.values(), Waiting()), running=0))
    sliced = read(lap, {"a": LIMIT} if limited else {})
    whole = decide(policy, one_by_one(tenants), fleet(), History(), NOW)
    found = decide(policy, sliced, fleet(), History(), NOW)
    assert (found.replicas, found.reason, found.limited_by) == (whole.replicas, whole.reason, whole.limited_by)
    assert found.numbers.queue_slots == pytest.approx(whole.numbers.queue_slots)
    assert (found.numbers.due, found.numbers.later, found.wake_at) == (
        whole.numbers.due,
        whole.numbers.later,
        whole.wake_at,
    )


@given(counts, ends, ends)
def test_after_a_second_lap_with_other_slices_the_sums_are_exact_again(rows, first, second):
    tenants = tenants_of(rows)
    lap = lap_of(tenants, second, named=set(), lap=lap_of(tenants, first, named=set()))
    _, others = lap.total()
    assert lap.complete
    assert (others.tenants, others.due, others.later) == pytest.approx(
        (len(tenants), sum(due for due, _ in rows), sum(later for _, later in rows))
    )


@given(counts, ends, ends)
def test_within_a_lap_a_tenant_is_not_counted_twice(rows, first, second):
    """While all tenants are alike, the estimate of a part is exact, too."""
    tenants = tenants_of([(2, 1)] * len(rows))
    lap = lap_of(tenants, first, named=set())
    for after, until in pairwise(["", *sorted(set(second)), None]):
        part = {name: waiting for name, waiting in tenants.items() if name > after and (not until or name <= until)}
        lap = lap.with_slice(slice_of(part, until, named=set()))
        assert lap.total()[1].due == pytest.approx(2 * len(tenants))


def test_before_the_first_lap_is_complete_the_sums_are_lower_bounds():
    tenants = tenants_of([(1, 0)] * 10)
    reading = read(Lap().with_slice(slice_of(tenants, "t009", named=set())), {})
    assert reading.depths[Key("a", OTHERS)].capped


def test_the_oldest_row_and_the_next_scheduled_one_are_those_of_all_slices():
    one = Waiting(3, due=2, later=1, oldest_at=50.0, mean_at=60.0, next_due_at=200.0)
    other = Waiting(1, due=1, later=1, oldest_at=90.0, mean_at=90.0, next_due_at=150.0)
    assert one + other == Waiting(4, due=3, later=2, oldest_at=50.0, mean_at=70.0, next_due_at=150.0)


def test_between_two_counts_new_rows_wait_and_started_ones_do_no_longer():
    counted = Counted(Waiting(due=100, later=5, next_due_at=NOW + 60), running=4)
    counted = counted.after(Waiting(due=20, later=1, next_due_at=NOW + 9), 10)
    assert (counted.now.due, counted.now.later, counted.now.next_due_at) == (114, 6, NOW + 9)
    assert counted.after(Waiting(), 2).now.due == 114, "an ended job does not wait"


def test_rows_that_come_between_two_counts_are_no_ended_jobs():
    """What is learned of the duration of jobs: 40 came, none ended."""
    lap = replace(lap_of({}, [], named=set()), counted=Counted(Waiting(due=10, oldest_at=NOW, mean_at=NOW), running=2))
    history = learn(spec().tenants, read(lap, {}), History())
    later = read(lap.with_arrivals({"t001": Waiting(due=40)}, running=2), {})
    depths = {key: replace(depth, arrivals=40) for key, depth in later.depths.items()}
    history = learn(spec().tenants, replace(later, taken_at=NOW + 1, depths=depths), history)
    assert history.learned("a").jobs == 0


@given(counts, ends, ends, st.integers(0, 50))
def test_the_sums_are_those_of_the_count_however_old_the_slices_are(rows, first, second, now_due):
    """Named tenants included; none is shown with more than waits."""
    tenants = tenants_of(rows)
    named = set(list(tenants)[::3])
    lap = lap_of(tenants, second, named=named, lap=lap_of(tenants, first, named=named))
    lap = replace(lap, counted=Counted(Waiting(due=now_due, later=3, oldest_at=NOW - 5, mean_at=NOW - 2), running=0))
    depths = read(lap, {}).depths.values()
    assert (sum(depth.due for depth in depths), sum(depth.later for depth in depths)) == (now_due, 3)
    assert max((depth.oldest_age_seconds for depth in depths), default=0) == (5 if now_due else 0)


def test_a_limit_that_falls_is_followed_by_a_new_lap_and_one_that_rises_is_not():
    lap = replace(lap_of(tenants_of([(1, 0)] * 3), [], named=set()), list_from=4)
    assert lap.listed_from(6) is lap
    assert not lap.listed_from(3).complete
    assert lap.listed_from(0).complete
    assert not lap.listed_from(0).listed_from(3).complete
