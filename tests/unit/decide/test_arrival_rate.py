"""Tests the rate at which rows fall due, with the worked examples of the code's docstrings."""

from __future__ import annotations

import pytest

from jobtide_controller.decide import arrival_rate
from jobtide_controller.decide.arrival_rate import Piece
from tests.unit.decide.builders import NOW


def _steady(rows_per_second: float, seconds: int) -> arrival_rate.Pieces:
    return tuple(Piece(NOW - age, rows_per_second) for age in reversed(range(seconds)))


def _rate(pieces: arrival_rate.Pieces, *, service_seconds: float = 1.0, began: float = 3_600.0) -> float:
    return arrival_rate.rate(pieces, service_seconds=service_seconds, began_at=NOW - began, now=NOW)


def test_without_rows_the_rate_is_zero():
    assert _rate(()) == 0


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param(_steady(4, 60), 4.0, id="four-a-second-for-a-minute"),
        pytest.param(_steady(1, 60), 1.0, id="one-a-second"),
        pytest.param((Piece(NOW - 60, 1_000.0),), 3 / 60, id="time-since-a-burst-bounds-the-rate"),
        pytest.param((Piece(NOW - 30, 1.0),), 1 / 60, id="one-row-in-the-window"),
    ],
)
def test_rate_is_the_lowest_of_its_estimates(pieces, expected):
    assert _rate(pieces) == pytest.approx(expected, rel=0.06)


def test_short_window_notices_the_end_of_a_burst_before_the_long_one():
    burst_then_trickle = (Piece(NOW - 30, 3_000.0), *_steady(2, 20))
    assert _rate(burst_then_trickle) < 3


def test_rate_of_long_jobs_uses_a_longer_window():
    three_minutes_ago = (Piece(NOW - 180, 90.0), Piece(NOW - 1, 1.0))
    assert _rate(three_minutes_ago, service_seconds=60) > _rate(three_minutes_ago, service_seconds=1)


def test_rate_of_a_new_pool_is_computed_over_its_age_and_not_over_a_whole_window():
    assert _rate(_steady(4, 15), began=15) == pytest.approx(4)


def test_rows_of_a_long_gap_are_spread_over_it():
    pieces = arrival_rate.added((), start=NOW - 20, end=NOW, rows=12)
    assert pieces == tuple(Piece(NOW - 15 + 5 * index, 3.0) for index in range(4))


def test_gap_of_hours_adds_no_more_than_ten_minutes_of_pieces():
    pieces = arrival_rate.added((), start=NOW - 36_000, end=NOW, rows=36_000)
    assert sum(piece.rows for piece in pieces) == pytest.approx(600)
    assert NOW - pieces[0].at <= arrival_rate.KEPT_SECONDS


def test_rows_of_one_second_are_one_piece():
    pieces: arrival_rate.Pieces = ()
    for tenth in range(5):
        pieces = arrival_rate.added(pieces, start=NOW + tenth / 10, end=NOW + (tenth + 1) / 10, rows=2)
    assert [piece.rows for piece in pieces] == [10]


def test_rows_are_forgotten_after_ten_minutes():
    pieces = arrival_rate.added((), start=NOW - 1, end=NOW, rows=5)
    assert arrival_rate.recent(pieces, NOW + arrival_rate.KEPT_SECONDS)
    assert arrival_rate.recent(pieces, NOW + arrival_rate.KEPT_SECONDS + 1) == ()


def test_a_day_of_ticks_keeps_few_pieces_and_loses_no_rows():
    pieces: arrival_rate.Pieces = ()
    for tick in range(2_000):
        pieces = arrival_rate.added(pieces, start=NOW + tick, end=NOW + tick + 1, rows=1)
        assert len(pieces) <= arrival_rate.PIECES_MAX
    assert sum(piece.rows for piece in pieces) == pytest.approx(
        arrival_rate.KEPT_SECONDS, abs=arrival_rate.COARSE_SECONDS
    )
