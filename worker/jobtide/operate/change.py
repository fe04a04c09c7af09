"""Changes jobs: retry, cancel, run-now and purge, each for one job or for a filter, in batches that may stop anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from jobtide.operate.filters import JobFilter, Verb
from jobtide.operate.read import JobLine, Moment
from jobtide.operate.session import SECONDS, Connection

BATCH = 500
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Preview:
    """How many jobs a change would concern, and ten of them."""

    verb: Verb
    filter: dict[str, str]
    number: int
    is_at_least: bool  # there may be more: counting ended at MOST_COUNTED, or at a bound of time
    examples: tuple[JobLine, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Progress:
    """After each batch. All numbers count from the start of this run."""

    changed: int
    skipped: int  # another transaction holds them, or they changed in the meantime; repeat the command for them
    back_to: Moment | None  # the newest jobs come first; these are done back to this creation time
    is_done: bool  # nothing is left that matches

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Action:
    """One line for the log of actions: who did what, with which filter, to how many jobs."""

    verb: Verb
    by: str  # as the caller knows the user: a name of the OS, of Kubernetes, or a given one
    database_user: str
    filter: dict[str, str]
    changed: int
    skipped: int
    is_done: bool  # False: stopped, or ended by an error, before all were changed

    def to_json(self) -> dict[str, Any]:
        return {"action": self.verb, **{k: v for k, v in asdict(self).items() if k != "verb"}}


def preview(
    connection: Connection, verb: Verb, which: JobFilter, *, most: int = MOST_COUNTED, seconds: float = SECONDS
) -> Preview:
    """Counts up to `most` jobs that `verb` would change, without changing one. Raises FilterRefused, TooSlow."""
    raise NotImplementedError


class Change:
    """One run of a verb. Iterate to run it; each step commits one batch. `stop()` from any thread ends it after one.

    A run concerns the jobs that match when it begins: a retried job that fails again is not retried by the same run,
    and a cancel ends although new jobs keep arriving. To repeat a run is harmless.
    """

    def __init__(
        self,
        connection: Connection,
        verb: Verb,
        which: JobFilter,
        *,
        by: str,
        pause_seconds: float = 0.1,
        seconds: float = 10.0,
    ) -> None:
        """`pause_seconds` between batches paces the run; `by` is stored in the error of cancelled jobs.

        Raises FilterRefused.
        """
        raise NotImplementedError

    def __iter__(self) -> Iterator[Progress]:
        """Raises TooSlow or psycopg.Error; what earlier batches changed stays changed."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends the run after the current batch, without waiting for the pause."""
        raise NotImplementedError

    def action(self) -> Action:
        """What has been done so far, for the log; write it once, when the run ends, also by an error."""
        raise NotImplementedError
