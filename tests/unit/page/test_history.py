"""The history of a pool: bounded, with peaks kept, and stacked depths that add up."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.page.history import HELD_SECONDS, KEYS, NAMES_MAX, POOLS_MAX, RANGES, History, Past, Sample

AT = 1_800_000_000.0


def sample(depth: float = 5.0, desired: float = 2.0, by: Mapping[str, float] | None = None) -> Sample:
    return Sample(depth, 1.0, desired, 1.0, 1.0, by or {}, by or {})


def history(*past: Past) -> History:
    made = History()
    made.begin("uid", past, AT)
    return made


@pytest.mark.parametrize(("range_", "points"), [(name, steps) for name, (_, steps) in RANGES.items()])
def test_a_range_has_its_points_on_one_axis(range_, points):
    series = history().series("uid", range_, "type", AT)
    columns = [series.oldest, series.desired, series.ready, series.busy, *series.depth.values()]
    assert {len(column) for column in columns} == {points}
    assert series.start + series.step_seconds * (points - 1) <= AT < series.start + series.step_seconds * points


def test_a_peak_of_a_second_is_in_the_day():
    kept = history()
    for second in range(60):
        kept.note("uid", AT + second, sample(9_000 if second == 30 else 1))
    assert max(value or 0 for value in kept.series("uid", "24h", "type", AT + 59).depth[None]) == 9_000


def test_an_unreadable_second_hides_no_known_one():
    kept = history()
    kept.note("uid", AT, sample(7))
    kept.note("uid", AT + 0.2, Sample(math.nan, math.nan, 2, 1, math.nan))
    kept.note("uid", AT + 1, Sample(math.nan, math.nan, 2, 1, math.nan))
    series = kept.series("uid", "15m", "type", AT + 1)
    assert series.depth[None][-2:] == [7.0, None]
    assert series.desired[-1] == 2.0


def test_a_sample_holds_until_the_next_one_but_not_through_an_outage():
    kept = history()
    kept.note("uid", AT, sample(3))
    kept.note("uid", AT + HELD_SECONDS, sample(4))
    kept.note("uid", AT + 3 * HELD_SECONDS, sample(5))
    depths = kept.series("uid", "15m", "type", AT + 3 * HELD_SECONDS).depth[None]
    held = int(HELD_SECONDS)
    assert depths[-1 - 3 * held : -1 - 2 * held] == [3.0] * held
    assert depths[-1 - 2 * held :] == [4.0, *[None] * (2 * held - 1), 5.0]


def test_a_restarted_controller_knows_what_the_decisions_say():
    kept = history(Past(AT - 600, 3, 80, 12.0), Past(AT - 60, 9, math.nan, math.nan))
    kept.note("uid", AT, sample(1, desired=9))
    series = kept.series("uid", "15m", "type", AT)
    assert series.restored_until == AT
    assert series.desired[-602:-599] == [None, 3.0, 3.0]
    assert series.desired[-62:-59] == [3.0, 9.0, 9.0]
    assert (series.depth[None][-601], series.depth[None][-600]) == (80.0, None)
    assert series.ready[-600] is None


def test_a_decision_of_the_last_week_fills_the_day_and_no_more():
    kept = history(Past(AT - 7 * 86_400, 3, 80, 12.0))
    assert set(kept.series("uid", "24h", "type", AT).desired[:-1]) == {3.0}


@given(
    st.lists(
        st.dictionaries(st.text(max_size=4), st.integers(0, 1_000).map(float), max_size=3 * KEYS),
        min_size=1,
        max_size=20,
    )
)
def test_the_stacked_depths_add_up_to_all_jobs(seconds):
    kept = history()
    for number, by in enumerate(seconds):
        kept.note("uid", AT + number, sample(sum(by.values()), by=by))
    now = AT + len(seconds) - 1
    for by in ("type", "tenant"):
        series = kept.series("uid", "15m", by, now)
        assert len(series.depth) <= KEYS + 1
        for number, depths in enumerate(seconds, start=-len(seconds)):
            assert sum(values[number] for values in series.depth.values()) == pytest.approx(sum(depths.values()))
            for name, values in series.depth.items():
                if name is not None:
                    assert values[number] in {depths.get(name, 0.0), 0.0}


def test_the_deepest_keys_are_shown_and_the_rest_are_others():
    kept = history()
    by = {f"t{number:02}": float(number) for number in range(20)}
    kept.note("uid", AT, sample(sum(by.values()), by=by))
    depth = kept.series("uid", "15m", "tenant", AT).depth
    assert [name for name in depth if name] == [f"t{number:02}" for number in range(19, 11, -1)]
    assert depth[None][-1] == sum(range(12))


def test_tenants_that_come_and_go_take_no_more_memory():
    kept = history()
    for number in range(2 * NAMES_MAX):
        kept.note("uid", AT + 100 * number, sample(1, by={f"tenant {number}": 1.0}))
    pool = kept._pools["uid"]
    assert len(pool._names) <= 2 * NAMES_MAX
    now = AT + 100 * (2 * NAMES_MAX - 1)
    assert next(iter(kept.series("uid", "15m", "tenant", now).depth)).startswith("tenant ")


def test_only_the_pools_that_did_something_lately_are_kept():
    kept = History()
    for number in range(POOLS_MAX):
        kept.begin(f"uid-{number}", (), AT)
    kept.note("uid-0", AT, sample())
    kept.note("uid-1", AT, Sample(0, 0, 0, 0, 0))
    kept.begin("another", (), AT)
    kept.begin("one more", (), AT)
    assert "uid-0" in kept
    assert "uid-1" not in kept
    assert len(kept.known()) == POOLS_MAX
    assert set(kept.series("uid-1", "15m", "type", AT).desired) == {None}


def test_a_busy_pool_is_not_dropped_for_another_one():
    kept = History()
    for number in range(POOLS_MAX):
        assert kept.has_room
        kept.begin(f"uid-{number}", (), AT)
        kept.note(f"uid-{number}", AT, sample())
    assert not kept.has_room
    kept.note("uid-7", AT, Sample(0, 0, 0, 0, 0))
    for number in range(7):
        kept.note(f"uid-{number}", AT, sample())
    assert kept.has_room


def test_many_names_are_shown_as_they_are_and_their_numbers_stay_small():
    """Rings keep numbers of 24 bits; names are forgotten also while a sample is added."""
    kept, each = history(), KEYS - 1
    for step in range(4 * NAMES_MAX // each):
        names = [f"name-{step}-{number}" for number in range(each)]
        kept.note("uid", AT + step, sample(each * (step + 1), by=dict.fromkeys(names, step + 1)))
        shown = kept.series("uid", "15m", "type", AT + step).depth
        assert [name for name, values in shown.items() if name and values[-1]] == names
    rows = sum(steps for _, steps in RANGES.values())
    assert max(kept._pools["uid"]._names.values()) < min(4 * NAMES_MAX, rows * each)
