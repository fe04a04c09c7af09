"""The terminal of `jobtide dev`: lines that scroll, and below them a table in the columns of `kubectl get jwp`."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TextIO

from jobtide.commands.table import aligned
from jobtide.printable import printable_lines
from jobtide_controller.api.v1alpha1 import API_VERSION, KIND
from jobtide_controller.loop.ports import PoolEntry
from jobtide_controller.render import columns
from jobtide_controller.telemetry import events

FEWEST_ROWS = 5  # of a terminal that has room for a table
_ERASE = "\x1b[{rows}A\x1b[J"  # from the first line of the table to the end of the screen


class Size(NamedTuple):
    """Of a terminal, in characters."""

    width: int
    height: int


class Screen:
    """Writes to `out`: on a terminal with the table, else plain lines only. It never raises; threads may share it.

    `entries` returns the pools of the table, and may be set later.
    """

    def __init__(
        self, entries: Callable[[], Iterable[PoolEntry]], out: TextIO, *, now: Callable[[], float] = time.time
    ) -> None:
        self.entries = entries
        self._out = out
        self._now = now
        self._is_terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._began = now()  # the pools are as old as the session
        self._table: list[str] = []
        self._lock = threading.RLock()

    def __call__(self, event: events.Event) -> None:
        """The subscriber that draws the table after each look at the database."""
        if isinstance(event, events.Ticked | events.DatabaseLost):
            self.refresh()

    def write(self, text: str) -> None:
        """Writes these lines above the table."""
        with self._lock:
            self._draw(printable_lines(text).split("\n"), self._table)

    def refresh(self) -> None:
        """Draws the table as the pools are now."""
        if not self._is_terminal:
            return
        with self._lock:
            size = _size(self._out)
            rows = [columns.cells(as_object(entry, self._began), self._now()) for entry in self.entries()]
            self._draw([], table(rows, size))

    def close(self) -> None:
        """The table stays where it is; later lines come below it."""
        with self._lock:
            self._table = []
            self._is_terminal = False

    def _draw(self, lines: Sequence[str], new_table: list[str]) -> None:
        if not lines and new_table == self._table:
            return
        rows = occupied(self._table, _size(self._out).width)
        erase = _ERASE.format(rows=rows) if rows else ""
        text = erase + "".join(f"{line}\n" for line in [*lines, *new_table])
        encoding = self._out.encoding or "utf-8"
        try:
            self._out.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._out.flush()
        except (OSError, ValueError):  # the terminal or the reader of the pipe is gone
            self.close()
            return
        self._table = new_table


def as_object(entry: PoolEntry, created: float) -> dict[str, Any]:
    """The pool as an API server would have it; `created` in seconds since 1970."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": entry.ref.name,
            "namespace": entry.ref.namespace,
            "uid": entry.uid,
            "creationTimestamp": datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds"),
        },
        "spec": entry.pool.spec.as_object(),
        "status": entry.status or {},
    }


def table(rows: Sequence[Sequence[str]], size: Size) -> list[str]:
    """The lines of the table after an empty one, none wider than the terminal; as many pools as there is room for."""
    if not rows or size.height < FEWEST_ROWS:
        return []
    room = size.height - 3  # an empty line, the headings, and the cursor's line
    hidden = 0 if len(rows) <= room else len(rows) - room + 1
    shown = list(rows[: len(rows) - hidden])
    lines = ["", *aligned([columns.head(), *shown], "<" * len(columns.head()))]
    if hidden:
        lines.append(f"and {hidden} more pools")
    return [line[: size.width - 1] for line in lines]


def occupied(lines: Iterable[str], width: int) -> int:
    """Rows of a terminal that these lines take, if it was made narrower after they were written."""
    return sum(max(1, -(-len(line) // width)) for line in lines)


def _size(out: TextIO) -> Size:
    try:
        width, height = os.get_terminal_size(out.fileno())
    except (OSError, ValueError):
        width, height = shutil.get_terminal_size()
    return Size(max(1, width or 80), height or 24)
