"""Numbers and times as text, for both commands."""

from __future__ import annotations

from datetime import datetime

from jobtide_controller.api.v1alpha1 import JobWorkerPoolStatus
from jobtide_controller.render import display


def ago(moment: datetime, now: float) -> str:
    """Returns the age of `moment`, such as 4m10s ago. `now` is in seconds since 1970; a later moment is 0 s ago."""
    return f"{display.age(max(0.0, now - moment.timestamp()))} ago"


def is_known(status: JobWorkerPoolStatus) -> bool:
    """False if the last reading failed: the totals are unset then, and the details are older."""
    return status.pending is not None


def oldest(seconds: int, pending: int) -> str:
    """Returns the age of the oldest due job, such as 4m10s; - if no job waits or none is due."""
    return display.age(seconds) if pending and seconds else display.NONE
