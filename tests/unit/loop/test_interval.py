"""How much of a database core the readings may take."""

from __future__ import annotations

import pytest

from jobtide_controller.loop.interval import Interval


@pytest.mark.parametrize(
    ("cost_seconds", "pause"),
    [(0.0, 0.2), (0.002, 0.2), (0.01, 0.2), (0.05, 1.0), (0.2, 4.0), (3.0, 5.0)],
)
def test_reading_takes_at_most_a_twentieth_of_the_time(cost_seconds, pause):
    assert Interval().after(cost_seconds, 0) == pytest.approx(pause)


def test_a_stream_of_events_makes_readings_take_a_tenth_at_most():
    assert Interval().at_least(0.1) == pytest.approx(1.0)
    assert Interval().at_least(0.0) == 0.2


def test_decisions_leave_most_of_the_event_loop_to_writes():
    assert Interval().at_least(0.0, held_seconds=0.01) == 0.2
    assert Interval().at_least(0.0, held_seconds=0.4) == pytest.approx(1.2)
    assert Interval().at_least(0.1, held_seconds=0.1) == pytest.approx(1.0)
    assert Interval().at_least(0.0, held_seconds=60) == 5.0
