"""One line for each long step: its name, how long it usually takes, how far it is."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TextIO

TERMINAL_INTERVAL_SECONDS = 0.5
LOG_INTERVAL_SECONDS = 20.0


@dataclass(slots=True)
class Step:
    """The progress of a step; the code that does the work calls `advance`."""

    title: str
    usual: str
    unit: str = "steps"
    total: int | None = None
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    def advance(self, count: int = 1) -> None:
        self.done += count

    def line(self, now: float) -> str:
        elapsed = duration(now - self.started)
        if not self.done:
            return f"{self.title}: {elapsed} (usually {self.usual})"
        known = f"{self.done} of {max(self.total, self.done)}" if self.total else f"{self.done}"
        return f"{self.title}: {known} {self.unit}, {elapsed} (usually {self.usual})"


@contextlib.contextmanager
def step(
    title: str, *, usual: str, unit: str = "steps", total: int | None = None, out: TextIO | None = None
) -> Iterator[Step]:
    """Shows a long step at its start, while it runs, and at its end with its duration."""
    stream = out if out is not None else sys.stderr
    current = Step(title=title, usual=usual, unit=unit, total=total)
    ended = threading.Event()
    ticker = threading.Thread(target=_show_until, args=(ended, current, stream), daemon=True)
    _write(stream, f"{title} (usually {usual})", last=not stream.isatty())
    ticker.start()
    outcome = "stopped after"
    try:
        yield current
        outcome = "done in"
    finally:
        ended.set()
        ticker.join()
        _write(stream, f"{title}: {outcome} {duration(time.monotonic() - current.started)}", last=True)


def say(text: str) -> None:
    """A line for the user, on standard error."""
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """For example 0.4 s, 12 s, 3 min 05 s."""
    if seconds < 10:  # noqa: PLR2004 - below ten seconds a tenth is worth showing
        return f"{seconds:.1f} s"
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def _show_until(ended: threading.Event, current: Step, stream: TextIO) -> None:
    terminal = stream.isatty()
    interval = TERMINAL_INTERVAL_SECONDS if terminal else LOG_INTERVAL_SECONDS
    while not ended.wait(interval):
        _write(stream, current.line(time.monotonic()), last=not terminal)


def _write(stream: TextIO, text: str, *, last: bool) -> None:
    # A terminal draws over the line; a log keeps whole lines.
    start = "\r\x1b[K" if stream.isatty() else ""
    print(f"{start}{text}", end="\n" if last else "", file=stream, flush=True)
