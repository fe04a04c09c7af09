"""The rate at which rows fall due, computed from the arrivals of the last ten minutes.

Times are seconds by the database's clock. docs/adr/2026-11-24-scaling-law.md says how the constants were measured.
"""

from __future__ import annotations

import math
from typing import NamedTuple

KEPT_SECONDS = 600.0
PIECE_SECONDS = 5.0  # a longer gap between readings is split: its rows came at some time within it, not at its end
FINE_SECONDS = 60.0  # up to this age one piece covers a second; beyond it, COARSE_SECONDS
COARSE_SECONDS = 10.0
SHORT_MIN_SECONDS, SHORT_MIN_ROWS = 10.0, 20.0
PIECES_MAX = 160  # 60 fine and 54 coarse ones fit; the spare room makes merging rare


class Piece(NamedTuple):
    """Rows that fell due at about the same time."""

    at: float  # when the latest of them fell due
    rows: float


Pieces = tuple[Piece, ...]
"""Oldest first."""


def added(pieces: Pieces, *, start: float, end: float, rows: float) -> Pieces:
    """The pieces with the `rows` that fell due between two readings, without those older than KEPT_SECONDS.

    12 rows in 20 s become four pieces of 3 rows, 5 s apart. Of a gap of hours only the last ten minutes count.
    """
    kept = recent(pieces, end)
    if rows <= 0:
        return kept
    parts = max(1, math.ceil((end - start) / PIECE_SECONDS))
    step = (end - start) / parts
    first = max(0, parts - math.ceil(KEPT_SECONDS / PIECE_SECONDS))
    new = [Piece(start + step * (index + 1), rows / parts) for index in range(first, parts)]
    if kept and parts == 1 and math.floor(kept[-1].at) == math.floor(end):
        return (*kept[:-1], Piece(end, kept[-1].rows + rows))
    joined = (*kept, *new)
    return joined if len(joined) <= PIECES_MAX else _merged(joined, end)


def recent(pieces: Pieces, now: float) -> Pieces:
    """The pieces that are at most KEPT_SECONDS old."""
    first = 0
    while first < len(pieces) and now - pieces[first].at > KEPT_SECONDS:
        first += 1
    return pieces[first:] if first else pieces


def rate(pieces: Pieces, *, service_seconds: float, began_at: float, now: float) -> float:
    """Lambda, in rows a second: the lowest of three estimates, each of which may be too high.

    The long window counts a burst until it leaves the window, the short one notices its end after ten seconds, and
    the time since the last row bounds both: 60 s after it the rate is at most 3 / 60 s = 0.05 a second.
    """
    if not pieces:
        return 0.0
    estimates = [_long_window(pieces, service_seconds=service_seconds, began_at=began_at, now=now)]
    short = _short_window(pieces, now)
    if short is not None:
        estimates.append(short)
    silence_seconds = silence(pieces, now)
    if silence_seconds > 0:
        estimates.append(3.0 / silence_seconds)
    return min(estimates)


def silence(pieces: Pieces, now: float) -> float:
    """Seconds since the latest row; infinite without one."""
    return now - pieces[-1].at if pieces else math.inf


def _long_window(pieces: Pieces, *, service_seconds: float, began_at: float, now: float) -> float:
    """The mean over four service times, at least 60 s and at most 600 s. 240 rows in 60 s: 4 a second."""
    window = min(max(4.0 * service_seconds, 60.0), KEPT_SECONDS)
    rows = 0.0
    for piece in reversed(pieces):
        if now - piece.at > window:
            break
        rows += piece.rows
    return rows / min(max(now - began_at, 10.0), window)


def _short_window(pieces: Pieces, now: float) -> float | None:
    """The mean over the shortest time that has ten seconds and twenty rows; None if there are not so many.

    A row a second for a minute: after 20 s twenty rows are covered, so 20 / 20 s = 1 a second.
    """
    younger = 0.0
    for piece in reversed(pieces):
        age = now - piece.at
        if age >= SHORT_MIN_SECONDS and younger + piece.rows >= SHORT_MIN_ROWS:
            return max(younger, SHORT_MIN_ROWS) / age
        younger += piece.rows
    return None


def _merged(pieces: Pieces, now: float) -> Pieces:
    """Merges pieces older than a minute: one for each ten seconds, with the time of its youngest row."""
    coarse: dict[int, Piece] = {}
    fine: list[Piece] = []
    for piece in pieces:
        if now - piece.at <= FINE_SECONDS:
            fine.append(piece)
            continue
        slot = math.floor(piece.at / COARSE_SECONDS)
        before = coarse.get(slot)
        coarse[slot] = piece if before is None else Piece(piece.at, before.rows + piece.rows)
    return (*coarse.values(), *fine)
