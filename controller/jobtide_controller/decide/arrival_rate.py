"""How fast rows fall due: the arrivals of the last ten minutes, and the rate read off them."""

from __future__ import annotations

import math
from typing import NamedTuple

KEPT_SECONDS = 600.0
PIECE_SECONDS = 5.0  # a longer gap between readings is cut up: its rows came somewhere in it, not at its end
FINE_SECONDS = 60.0  # so young, rows are kept by the second; older ones by ten
COARSE_SECONDS = 10.0
SHORT_MIN_SECONDS, SHORT_MIN_ROWS = 10.0, 20.0
PIECES_MAX = 160  # 60 + 54 fit, so this leaves room to tidy up only now and then


class Piece(NamedTuple):
    """Rows that fell due together."""

    at: float
    rows: float


Pieces = tuple[Piece, ...]
"""Oldest first."""


def added(pieces: Pieces, *, start: float, end: float, rows: float) -> Pieces:
    """The pieces with what fell due between two readings, without what is too old.

    12 rows in 20 s become four pieces of 3 rows, 5 s apart. Of a gap of hours only the last ten minutes count.
    """
    kept = recent(pieces, end)
    if rows <= 0:
        return kept
    parts = max(1, math.ceil((end - start) / PIECE_SECONDS))
    step = (end - start) / parts
    first = max(0, parts - math.ceil(KEPT_SECONDS / PIECE_SECONDS))
    fresh = [Piece(start + step * (index + 1), rows / parts) for index in range(first, parts)]
    if kept and parts == 1 and math.floor(kept[-1].at) == math.floor(end):
        return (*kept[:-1], Piece(end, kept[-1].rows + rows))
    joined = (*kept, *fresh)
    return joined if len(joined) <= PIECES_MAX else _tidied(joined, end)


def recent(pieces: Pieces, now: float) -> Pieces:
    """Without the pieces that have become too old to matter."""
    first = 0
    while first < len(pieces) and now - pieces[first].at > KEPT_SECONDS:
        first += 1
    return pieces[first:] if first else pieces


def rate(pieces: Pieces, *, service_seconds: float, began_at: float, now: float) -> float:
    """Lambda, rows a second: the least of three views, each of which is wrong upwards in its own way.

    The long view echoes a burst for a whole window, the short one sees it end after ten seconds, and silence
    bounds both: 60 s after the last row there is no more than 3 / 60 s = 0.05 a second.
    """
    if not pieces:
        return 0.0
    views = [_long(pieces, service_seconds=service_seconds, began_at=began_at, now=now)]
    short = _short(pieces, now)
    if short is not None:
        views.append(short)
    silence_seconds = now - pieces[-1].at
    if silence_seconds > 0:
        views.append(3.0 / silence_seconds)
    return min(views)


def silence(pieces: Pieces, now: float) -> float:
    """Seconds since the latest row."""
    return now - pieces[-1].at if pieces else math.inf


def _long(pieces: Pieces, *, service_seconds: float, began_at: float, now: float) -> float:
    """Over four jobs' length, 60 s at least and 600 s at most. 240 rows in 60 s: 4 a second."""
    window = min(max(4.0 * service_seconds, 60.0), KEPT_SECONDS)
    rows = 0.0
    for piece in reversed(pieces):
        if now - piece.at > window:
            break
        rows += piece.rows
    return rows / min(max(now - began_at, 10.0), window)


def _short(pieces: Pieces, now: float) -> float | None:
    """Back from now until ten seconds and twenty rows are covered; None where there is not so much.

    A row a second for a minute: after 20 s twenty rows are covered, so 20 / 20 s = 1 a second.
    """
    younger = 0.0
    for piece in reversed(pieces):
        age = now - piece.at
        if age >= SHORT_MIN_SECONDS and younger + piece.rows >= SHORT_MIN_ROWS:
            return max(younger, SHORT_MIN_ROWS) / age
        younger += piece.rows
    return None


def _tidied(pieces: Pieces, now: float) -> Pieces:
    """Older than a minute: one piece for each ten seconds, dated by its youngest row."""
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
