"""What handlers raise to choose how a job ends, and the errors that stop a worker."""

from __future__ import annotations

from datetime import timedelta


class HandlerOutcome(Exception):  # noqa: N818 - raised to choose an outcome, not an error
    """Base of what a handler raises to choose its job's end."""


class Retry(HandlerOutcome):
    """Try again: after `after` (seconds or timedelta), or after the usual backoff. Counts as an attempt."""

    def __init__(
        self, message: str = "the handler asked for a retry", *, after: float | timedelta | None = None
    ) -> None:
        super().__init__(message)
        self.after_seconds = None if after is None else seconds_of(after)


class Snooze(HandlerOutcome):
    """Not now: run again after `after` (seconds or timedelta). Does not count as an attempt."""

    def __init__(self, after: float | timedelta, message: str = "snoozed") -> None:
        super().__init__(message)
        self.after_seconds = seconds_of(after)


class Fail(HandlerOutcome):
    """A retry is pointless: the job ends as failed, with this message."""


class ProcessDied(Retry):
    """The process that ran this job alone ended before the handler did, or had to be killed."""


class ProcessNotReady(Retry):
    """The process for this job ended before the handler was called: the job has no part in that."""


class JobtideError(Exception):
    """Base of the errors that stop a worker. The message names what was tried and what to do."""


class SettingsError(JobtideError):
    """A setting is missing or wrong."""


class LoadError(JobtideError):
    """The application, `module:attribute`, can't be used."""


class ModuleMissing(LoadError):  # noqa: N818
    """There is no such module."""


class AttributeWrong(LoadError):  # noqa: N818
    """The module has no such attribute, or it is not a Tide."""


class NoHandlers(LoadError):  # noqa: N818
    """The Tide has no handlers, none for a type of the pool, or no schedules."""


class TableUnusable(JobtideError):  # noqa: N818
    """The table is missing, wrong, or hidden from this role."""

    state = "unusable"  # in a log line, after "database"


def seconds_of(after: float | timedelta) -> float:
    """Returns the delay in seconds. Raises ValueError if it is negative, or ten years or more."""
    seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
    if not 0 <= seconds < 10 * 365 * 86_400:
        raise ValueError(f"after={after!r}: expected 0 seconds to ten years")
    return seconds
