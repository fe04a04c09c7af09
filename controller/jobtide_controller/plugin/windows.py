"""The windows by the clock: which are open, what each decides, and which one is next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobtide_controller.api.schedules import Schedule
from jobtide_controller.api.status import ActiveWindow, ScheduleStatus
from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.render.display import clock

LIMITS = ("minReplicas", "maxReplicas", "maxWaitSeconds")


def lines(schedules: Sequence[Schedule], status: ScheduleStatus | None) -> Iterator[str]:
    """`office-hours until 2027-01-15 17:00:00Z: minReplicas 8`, and the next one; nothing for a pool without any."""
    if status is None:
        return
    by_name = {schedule.name: schedule for schedule in schedules}
    for window in status.active:
        yield _open(window, by_name.get(window.name))
    if not status.active:
        yield "none is open: the pool's own limits hold"
    if status.next is None:
        yield "no other will open"
        return
    coming = by_name.get(status.next.name)
    set_ = "" if coming is None else f": {_listed(coming, LIMITS)}"
    yield f"next {status.next.name} at {clock(status.next.at)}{set_}"


def promise_of(spec: JobWorkerPoolSpec, status: ScheduleStatus | None) -> int | None:
    """The promise that holds now to the types without one of their own. None: jobsPerWorker decides."""
    by_name = {schedule.name: schedule for schedule in spec.schedules}
    for window in status.active if status is not None else ():
        schedule = by_name.get(window.name)
        if schedule is not None and schedule.max_wait_seconds is not None and "maxWaitSeconds" in window.decides:
            return schedule.max_wait_seconds
    return None if spec.max_wait_seconds is None and spec.jobs_per_worker is not None else spec.wait_seconds


def _open(window: ActiveWindow, schedule: Schedule | None) -> str:
    text = f"{window.name} until {clock(window.until)}"
    if schedule is None:  # renamed or removed since
        return text
    decides = _listed(schedule, window.decides)
    overruled = _listed(schedule, [name for name in LIMITS if name not in window.decides])
    parts = [decides, f"a later window overrules {overruled}" if overruled else ""]
    return f"{text}: {'; '.join(filter(None, parts))}"


def _listed(schedule: Schedule, names: Sequence[str]) -> str:
    values = schedule.as_object()
    return ", ".join(f"{name} {values[name]}" for name in names if name in values)
