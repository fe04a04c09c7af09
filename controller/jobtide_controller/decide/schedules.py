"""Windows by the clock: which limits hold at a moment, by which windows, and when that changes next.

The list is read from its first window to its last, on top of the pool's own limits: of the open windows, the last one
that sets a limit decides it. A floor above the ceiling that holds is lowered to it.
docs/adr/2026-11-29-windows-by-the-clock.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from jobtide_controller.api.schedules import Schedule, times_of
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec

LEAD_STARTS = 2.0  # a floor is early by so many median starts: with one, half of its workers would be late
HOUR_SECONDS = 3_600
LOOKED = 128  # beginnings that are followed to find where windows that touch each other end


class Window(NamedTuple):
    """One stretch of time in which a schedule holds; seconds since the epoch, without the end."""

    begins_at: float
    ends_at: float


class Active(NamedTuple):
    """A window that is open now."""

    name: str
    until: float
    decides: tuple[str, ...]  # limits that are its own: minReplicas, maxReplicas, maxWaitSeconds


class Coming(NamedTuple):
    """The next window to open."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class InForce:
    """What the windows of a pool make of it at one moment."""

    spec: JobWorkerPoolSpec  # with the limits that hold now
    own: JobWorkerPoolSpec  # as the user wrote it
    now: float
    wait_seconds: int  # the promise to a job that falls due now
    min_by: str | None  # the window that decides; None: the pool's own limit
    max_by: str | None
    wait_by: str | None  # of `wait_seconds`
    active: tuple[Active, ...]
    coming: Coming | None
    changes_at: float | None  # decide again at this time

    def promised_to(self, age_seconds: float) -> float:
        """The promise to a job that has been due for so long: what held then, or what holds now if that is longer."""
        return float(max(self.wait_seconds, promised_seconds(self.own, self.now - age_seconds)))


class _Limits(NamedTuple):
    least: int
    most: int
    wait_seconds: int
    min_by: str | None = None
    max_by: str | None = None
    wait_by: str | None = None


_Windows = Sequence[tuple[Schedule, tuple[Window, ...]]]


def in_force(own: JobWorkerPoolSpec, now: float, start_seconds: float) -> InForce | None:
    """The windows at `now`, by the controller's clock; None for a pool without schedules.

    Floors and shorter promises hold early, by the time that workers take to start: so they are kept when the window
    begins. For that time a floor may be above a ceiling that ends with it.
    """
    if not own.schedules:
        return None
    lead_seconds = LEAD_STARTS * start_seconds
    around, soon = _windows(own, now), _windows(own, now + lead_seconds)
    at_once = _limits(own, around, now)
    limits = _with_lead(at_once, _limits(own, soon, now + lead_seconds))
    edges = [*_edges(around, now, 0.0), *_edges(soon, now, lead_seconds)]
    return InForce(
        spec=_limited(own, limits),
        own=own,
        now=now,
        wait_seconds=at_once.wait_seconds,
        min_by=limits.min_by,
        max_by=limits.max_by,
        wait_by=at_once.wait_by,
        active=tuple(_active(at_once, around, now)),
        coming=min(_coming(around, now), key=attrgetter("at"), default=None),
        changes_at=min(edges, default=None),
    )


def promised_seconds(own: JobWorkerPoolSpec, due_at: float) -> int:
    """The promise to a job that fell due at this moment: a window that opens later does not shorten it.

    Any time may be in the table, also one that no calendar here has: before 1970 no window is looked for.
    """
    is_looked_for = own.schedules and due_at >= 0.0
    return _limits(own, _windows(own, due_at), due_at).wait_seconds if is_looked_for else own.wait_seconds


def _limits(own: JobWorkerPoolSpec, windows: _Windows, at: float) -> _Limits:
    least, most, wait_seconds = own.min_replicas, own.max_replicas, own.wait_seconds
    min_by = max_by = wait_by = None
    for schedule, of_it in windows:
        if _open_window(of_it, at) is None:
            continue
        if schedule.min_replicas is not None:
            least, min_by = schedule.min_replicas, schedule.name
        if schedule.max_replicas is not None:
            most, max_by = schedule.max_replicas, schedule.name
        if schedule.max_wait_seconds is not None:
            wait_seconds, wait_by = schedule.max_wait_seconds, schedule.name
    return _Limits(min(least, most), most, wait_seconds, min_by, max_by, wait_by)


def _with_lead(now: _Limits, soon: _Limits) -> _Limits:
    limits = now
    if soon.least > now.least:
        limits = limits._replace(least=soon.least, min_by=soon.min_by)
    if soon.least > now.most:
        limits = limits._replace(most=soon.least, max_by=soon.min_by)
    if soon.wait_seconds < now.wait_seconds:
        limits = limits._replace(wait_seconds=soon.wait_seconds)
    return limits


def _limited(own: JobWorkerPoolSpec, limits: _Limits) -> JobWorkerPoolSpec:
    held = limits.least, limits.most, limits.wait_seconds
    if held == (own.min_replicas, own.max_replicas, own.wait_seconds):
        return own
    update: dict[str, int] = {"min_replicas": limits.least, "max_replicas": limits.most}
    if limits.wait_seconds != own.wait_seconds:
        update["max_wait_seconds"] = limits.wait_seconds
    return own.model_copy(update=update)


def _active(limits: _Limits, windows: _Windows, now: float) -> Iterator[Active]:
    fields = (("minReplicas", limits.min_by), ("maxReplicas", limits.max_by), ("maxWaitSeconds", limits.wait_by))
    for schedule, of_it in windows:
        window = _open_window(of_it, now)
        if window is not None:
            yield Active(schedule.name, window.ends_at, tuple(field for field, by in fields if by == schedule.name))


def _coming(windows: _Windows, now: float) -> Iterator[Coming]:
    for schedule, of_it in windows:
        for window in of_it:
            if window.begins_at > now:
                yield Coming(schedule.name, window.begins_at)
                break


def _edges(windows: _Windows, now: float, lead_seconds: float) -> Iterator[float]:
    """The moments after now from which a window opens or closes in `lead_seconds`."""
    for _, of_it in windows:
        for window in of_it:
            for edge in window:
                if edge - lead_seconds > now:
                    yield edge - lead_seconds


def _open_window(windows: tuple[Window, ...], at: float) -> Window | None:
    for window in windows:
        if window.begins_at <= at < window.ends_at:
            return window
    return None


def _windows(own: JobWorkerPoolSpec, at: float) -> _Windows:
    hour = int(at // HOUR_SECONDS)
    return [(one, _windows_of_hour(one.cron, one.timezone, one.duration_seconds, hour)) for one in own.schedules]


@lru_cache(maxsize=4_096)
def _windows_of_hour(cron: str, timezone: str, duration_seconds: int, hour: int) -> tuple[Window, ...]:
    """Those that are open in this hour since the epoch, and the first one after it; those that touch are one.

    Kept, because a busy pool is decided several times a second.
    """
    expression, zone = times_of(cron, timezone)
    hour_begins_at = hour * HOUR_SECONDS
    windows: list[Window] = []
    before = datetime.fromtimestamp(hour_begins_at - duration_seconds, UTC)
    for _ in range(LOOKED):
        begins = expression.next_after(before, zone)
        if begins is None:
            break
        before, begins_at = begins, begins.timestamp()
        if windows and begins_at <= windows[-1].ends_at:
            windows[-1] = Window(windows[-1].begins_at, begins_at + duration_seconds)
        elif windows and windows[-1].begins_at >= hour_begins_at + HOUR_SECONDS:
            break
        else:
            windows.append(Window(begins_at, begins_at + duration_seconds))
    return tuple(windows)
