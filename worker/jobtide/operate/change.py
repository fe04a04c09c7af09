"""Changes jobs: retry, cancel, run-now and purge, of one job or of a filter, in batches that may stop anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg

from jobtide.database_errors import one_line
from jobtide.errors import JobtideError
from jobtide.operate.filters import JobFilter, Verb
from jobtide.operate.read import JobLine, Moment, lines, moment
from jobtide.operate.select import Selection, small_set, walks
from jobtide.operate.session import SECONDS, Connection, Locked, rows

BATCH = 500
"""Jobs in one transaction."""

MOST_COUNTED = 10_000
"""A preview counts so far."""

PREVIEW_SECONDS = 0.2
_EXAMPLES = 10
_MOST_BY = 200
_MOST_SKIPPED = 5_000
_OF_A_ROW = {"22", "23", "54", "P0"}  # classes of errors about a value, a constraint, a size, or that a trigger raises
_LOCK_SECONDS = 0.2  # a purge waits for a locked job, since it can't leave it out
_MOST_LOCKED = 20  # then the table may be locked as a whole


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
    skipped: int  # another transaction holds them, they changed in the meantime, or the server refused to change them
    refusal: str | None  # the server's words for the last job that it refused: a trigger or a constraint
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
    refusal: str | None
    is_done: bool  # False: stopped, or ended by an error, before all were changed

    def to_json(self) -> dict[str, Any]:
        return {"action": self.verb, **{k: v for k, v in asdict(self).items() if k != "verb"}}


def preview(
    connection: Connection, verb: Verb, which: JobFilter, *, most: int = MOST_COUNTED, seconds: float = SECONDS
) -> Preview:
    """Counts up to `most` jobs that `verb` would change, without changing one. Raises FilterRefused, TooSlow.

    It begins no look at more rows after PREVIEW_SECONDS: the number is then a lower bound.
    """
    at = begun_at(connection, seconds=seconds).at
    selection = _selection(verb, which, at, at)
    ids = small_set(connection, selection, seconds=seconds)
    ids, is_at_least = (ids, False) if ids is not None else _counted(connection, selection, most, seconds)
    examples = lines(connection, ids[:_EXAMPLES], seconds=seconds)
    return Preview(verb, which.to_json(), min(len(ids), most), is_at_least or len(ids) > most, tuple(examples))


class TooMany(JobtideError):  # noqa: N818 - a state of the table
    """More jobs match than the caller allows."""


class Change:
    """One run of a verb. Iterate to run it; each step commits one batch. `stop()` from any thread ends it after one.

    A run concerns the jobs that match when it begins: a retried job that fails again is not retried by the same run,
    and a cancel ends although new jobs keep arriving. To repeat a run is harmless. With `as_of` it leaves out what was
    created, or ended, after that time.
    """

    def __init__(
        self,
        connection: Connection,
        verb: Verb,
        which: JobFilter,
        *,
        by: str,
        as_of: datetime | None = None,
        pause_seconds: float = 0.1,
        seconds: float = 10.0,
        at_most: int | None = None,
    ) -> None:
        """`pause_seconds` between batches paces the run; `by` is stored in the error of cancelled jobs.

        `as_of` is a time of the server's clock, such as that of a preview. `at_most`: a batch that would make it more
        jobs is not changed. Raises FilterRefused.
        """
        which.check_change(verb)
        self.verb = verb
        self.which = which
        self._connection = connection
        self._by = by.replace("\x00", "").encode("utf-8", "replace").decode()[:_MOST_BY]
        self._as_of = as_of
        self._pause_seconds = pause_seconds
        self._seconds = seconds
        self._at_most = at_most
        # Not an Event: a signal's handler that sets it while the same thread begins to wait for it waits without end.
        self._stops: SimpleQueue[None] = SimpleQueue()
        self._changed = 0
        self._skipped: set[UUID] = set()
        self._refusal: str | None = None
        self._locked = 0
        self._is_done = False
        self._database_user = ""

    def __iter__(self) -> Iterator[Progress]:
        """Raises TooSlow, TooMany or psycopg.Error; what earlier batches changed stays changed."""
        begun = begun_at(self._connection, seconds=self._seconds)
        self._database_user = begun.user
        as_of = self._as_of or begun.at
        selection = _selection(self.verb, self.which, begun.at, as_of)
        for ids, back_to, is_last in self._batches(selection):
            if self._at_most is not None and self._changed + len(ids) > self._at_most:
                raise TooMany(f"more jobs match now than a moment ago; this run has changed {self._changed}")
            if ids:
                self._change(ids, as_of)
            self._is_done = is_last
            yield Progress(self._changed, len(self._skipped), self._refusal, back_to, is_last)
            if is_last or self._is_stopped(self._pause_seconds if ids else 0):
                return

    def stop(self) -> None:
        """Ends the run after the current batch, without waiting for the pause."""
        self._stops.put(None)

    def _is_stopped(self, wait_seconds: float) -> bool:
        try:
            self._stops.get(timeout=wait_seconds)
        except Empty:
            return False
        self.stop()  # it stays so
        return True

    def action(self) -> Action:
        """What has been done so far, for the log; write it once, when the run ends, also by an error."""
        return Action(
            self.verb,
            self._by,
            self._database_user,
            self.which.to_json(),
            self._changed,
            len(self._skipped),
            self._refusal,
            self._is_done,
        )

    def _batches(self, selection: Selection) -> Iterator[tuple[list[UUID], Moment | None, bool]]:
        """The ids of each batch, where the run stands, and whether it is the last one."""
        ids = small_set(self._connection, selection, seconds=self._seconds)
        if ids is not None:
            yield from _chunks(ids, None, is_last=True)
            return
        walked = walks(self._connection, selection, wanted=BATCH, seconds=self._seconds, excluded=self._skipped)
        for status, window in walked:
            back_to = None if window.back_to is None else moment(window.back_to.timestamp())
            is_last = window.back_to is None and status == selection.statuses[-1]
            yield from _chunks(window.ids, back_to, is_last=is_last)
            if len(self._skipped) >= _MOST_SKIPPED:
                return

    def _change(self, ids: list[UUID], as_of: datetime) -> None:
        """One batch, in one transaction; in halves if the server refuses a row of it, until that row is alone.

        Jobs that are not changed are skipped by the rest of the run.
        """
        parameters = {
            "ids": ids,
            "by": self._by,
            "ended_by": as_of,
            "type": self.which.type,
            "tenant": self.which.tenant,
        }
        try:
            changed = self._send(parameters)
        except (psycopg.Error, Locked) as error:
            self._check_row(error)
            if len(ids) > 1:
                middle = len(ids) // 2
                self._change(ids[:middle], as_of)
                self._change(ids[middle:], as_of)
                return
            self._locked += isinstance(error, Locked)
            self._refusal = one_line(error)
            changed = []
        self._changed += len(changed)
        self._skipped.update(set(ids) - {row["id"] for row in changed})

    def _send(self, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        name, lock_seconds = self.verb.replace("-", "_"), _LOCK_SECONDS if self.verb == "purge" else None
        return rows(self._connection, name, parameters, seconds=self._seconds, writes=True, lock_seconds=lock_seconds)

    def _check_row(self, error: psycopg.Error | Locked) -> None:
        """Raises the error unless one row may be its cause."""
        if isinstance(error, Locked):
            is_of_a_row = self.verb == "purge" and self._locked < _MOST_LOCKED
        else:
            is_of_a_row = (error.sqlstate or "")[:2] in _OF_A_ROW
        if not is_of_a_row:
            raise error


@dataclass(frozen=True, slots=True)
class Begun:
    """When a run began, by the server's clock, and with whose rights it works."""

    at: datetime
    user: str


def begun_at(connection: Connection, *, seconds: float = SECONDS) -> Begun:
    """The server's time and the database user. A user that took another role is shown as `login as role`."""
    (found,) = rows(connection, "begin", {}, seconds=seconds)
    login, role = found["session_user"], found["current_user"]
    return Begun(found["at"], login if login == role else f"{login} as {role}")


def _selection(verb: Verb, which: JobFilter, begun_at: datetime, as_of: datetime) -> Selection:
    which.check()
    which.check_change(verb)
    return Selection(
        which,
        which.statuses(verb),
        due_after=begun_at if verb == "run-now" else None,
        ended_by=as_of if verb in {"retry", "purge"} else None,
        created_by=as_of,
        only_ours=verb == "cancel",
    )


def _counted(connection: Connection, selection: Selection, most: int, seconds: float) -> tuple[list[UUID], bool]:
    """The ids, at most one more than `most`, and whether there may be others."""
    found: dict[UUID, None] = {}
    ends_at = monotonic() + PREVIEW_SECONDS
    for status, window in walks(connection, selection, wanted=most + 1, seconds=seconds):
        found.update(dict.fromkeys(window.ids))
        is_last = window.back_to is None and status == selection.statuses[-1]
        if len(found) > most or (monotonic() > ends_at and not is_last):
            return list(found), True
    return list(found), False


def _chunks(
    ids: list[UUID], back_to: Moment | None, *, is_last: bool
) -> Iterator[tuple[list[UUID], Moment | None, bool]]:
    for first in range(0, max(1, len(ids)), BATCH):
        yield ids[first : first + BATCH], back_to, is_last and first + BATCH >= len(ids)
