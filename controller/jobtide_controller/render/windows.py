"""The windows by the clock, as the status shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from jobtide_controller.api.status import ActiveWindow, NextWindow, ScheduleStatus
from jobtide_controller.decide.schedules import InForce


def schedule_status(windows: InForce | None) -> ScheduleStatus | None:
    """Those that are open, and the next one; None for a pool without schedules."""
    if windows is None:
        return None
    coming = windows.coming
    return ScheduleStatus(
        active=tuple(
            ActiveWindow(name=one.name, until=_moment(one.until), decides=one.decides) for one in windows.active
        ),
        next=None if coming is None else NextWindow(name=coming.name, at=_moment(coming.at)),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
