"""Reads one database: one statement a tick for all its pools, and every failure as a value."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from jobtide.database_errors import DatabaseUrlWrong, one_line
from jobtide.schema import Problem, ProblemKind, check
from jobtide.sql import load
from jobtide_controller.decide.reading import Depth, Key, PodRun, Reading, Unreadable, UnreadableReason, Unserved
from jobtide_controller.decide.unserved import COUNTED_JOBS
from jobtide_controller.postgres.arrivals import OVERLAP_SECONDS, Arrivals, Seen
from jobtide_controller.postgres.attempts import Watched
from jobtide_controller.postgres.hearing import Hearing
from jobtide_controller.postgres.read_failure import classify
from jobtide_controller.postgres.session import Session
from jobtide_controller.postgres.urls import NotConfiguredError, Urls

SQL_PACKAGE = "jobtide_controller.postgres.sql"

ARRIVALS_CAP = 10_000

# Running jobs of one tenant and type. More are not counted: a thousand pods with ten jobs each run no more.
RUNNING_CAP = 10_000

# Enough rows to notice within a few readings that one attempt in a hundred succeeds.
WATCH_RUNNING = 64
WATCH_SOON = 16

# The statement costs as much as the rows it counts: 100,000 index entries take 30 to 50 ms. With a thousand tenants
# that each have a deep queue, counting 100 rows of each gives the same number of workers.
COUNTED_ROWS = 100_000
LEAST_DEPTH_CAP = 50

# Types that no pool handles: how often they are looked for, and how many. With COUNTED_JOBS of each, that is a seventh
# of what one reading may count.
UNSERVED_SECONDS = 30.0
UNSERVED_TYPES = 15

# Grants and policies can change while a connection is open.
CHECK_SECONDS = 30.0

_REASONS = {
    ProblemKind.TABLE_MISSING: UnreadableReason.TABLE_MISSING,
    ProblemKind.COLUMN_WRONG: UnreadableReason.SCHEMA_WRONG,
    ProblemKind.ENUM_MISMATCH: UnreadableReason.SCHEMA_WRONG,
    ProblemKind.GRANT_MISSING: UnreadableReason.GRANT_MISSING,
    ProblemKind.INDEX_MISSING: UnreadableReason.SCHEMA_WRONG,
    ProblemKind.RLS_HIDES_ROWS: UnreadableReason.RLS_HIDES_ROWS,
    ProblemKind.STANDBY: UnreadableReason.STANDBY,
    ProblemKind.ENCODING_WRONG: UnreadableReason.SCHEMA_WRONG,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one reading may cost."""

    statement_seconds: float = 5.0
    depth_cap: int = 10_000


_NOTHING = Depth()


class UnfitError(Exception):
    """The connection works, but its readings would be wrong."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.reason = _REASONS[problem.kind]


class Reader:
    """Used by the connection's thread only. Remembers one reading, to count the arrivals of the next."""

    def __init__(
        self,
        name: str,
        urls: Urls,
        limits: Limits,
        *,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.warnings: tuple[str, ...] = ()  # problems that make a reading slow, not wrong
        self._urls = urls
        self._limits = limits
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._url: str | None = None
        self.session = Session(self._fresh_url)
        self._checked_at: float | None = None
        self._arrivals = Arrivals()
        self._watched = Watched()
        self._read_at = 0.0
        self._keys = 0
        self._since: float | None = None
        self._unserved: Mapping[str, Unserved] = {}
        self._walked_at: float | None = None
        self.hearing = Hearing(monotonic)
        self.hears_jobs = False  # the last reading found none, and an INSERT notifies
        self._is_quiet = False

    def read(self, types: Sequence[str]) -> Reading | Unreadable:
        """One reading of these types, or why there is none."""
        self.hears_jobs = False
        try:
            if not self.session.connected or self._url_changed():
                self._checked_at = None
                self.session.close()
            self._check()
            if self._is_quiet:
                self.hearing.begin(self.session.connect(), types)
            reading = self._read(types)
            self._hear(reading)
            reading = replace(reading, unserved=self._unserved_now(types))
        except UnfitError as unfit:
            self.session.close()
            return self.unreadable(unfit.reason, str(unfit))
        except (psycopg.Error, OSError, NotConfiguredError, DatabaseUrlWrong, ValueError) as error:
            self.session.close()
            return self.unreadable(classify(error), one_line(error))
        self._since = None
        return reading

    def not_configured(self) -> Unreadable | None:
        """Why there is no URL of this name; None if there is one, or one that can't be used."""
        try:
            self._urls.url(self.name)
        except NotConfiguredError as error:
            return self.unreadable(classify(error), one_line(error))
        except DatabaseUrlWrong:
            pass
        return None

    def unreadable(self, reason: UnreadableReason, message: str) -> Unreadable:
        """One more failure; all failures in a row have the same `since`."""
        if self._since is None:
            self._since = self._wall_clock()
        return Unreadable(reason, message, self._since)

    def _check(self) -> None:
        now = self._monotonic()
        if self._checked_at is not None and now - self._checked_at < CHECK_SECONDS:
            return
        problems = check(self.session.connect(), "controller")
        for problem in problems:
            if problem.fatal:
                raise UnfitError(problem)
        self.warnings = tuple(problem.message for problem in problems)
        self._checked_at = now

    def _read(self, types: Sequence[str]) -> Reading:
        started = self._monotonic()
        rows = self.session.run(
            load(SQL_PACKAGE, "readings"),
            {
                "types": list(dict.fromkeys(types)),
                "depth_cap": self.depth_cap,
                "running_cap": RUNNING_CAP,
                "arrivals_cap": ARRIVALS_CAP,
                "overlap_seconds": OVERLAP_SECONDS,
                "previous_at": self._arrivals.previous_at(started - self._read_at),
                "watched_ids": list(self._watched.ids),
                "watched_attempts": list(self._watched.attempts),
                "watch_running": WATCH_RUNNING,
                "watch_soon": WATCH_SOON,
            },
            timeout_seconds=self._limits.statement_seconds,
        )
        cost = self._monotonic() - started
        reading, self._arrivals = reading_of(rows, self._arrivals, depth_cap=self.depth_cap, query_seconds=cost)
        self._watched = Watched.of(rows)
        self._read_at = started
        self._keys = len(reading.depths)
        return reading

    def _hear(self, reading: Reading) -> None:
        """While jobs are due or run, readings are frequent and no INSERT need notify."""
        self._is_quiet = not reading.pods and not any(one.due or one.running for one in reading.depths.values())
        if not self._is_quiet:
            self.hearing.end()
        self.hears_jobs = self.hearing.is_on and not self.hearing.take()

    def _unserved_now(self, types: Sequence[str]) -> Mapping[str, Unserved]:
        """As last found. What is wrong with this statement alone is no reason to hold the fleet."""
        now = self._monotonic()
        if self._walked_at is None or now - self._walked_at >= UNSERVED_SECONDS:
            self._walked_at = now
            with contextlib.suppress(psycopg.Error):
                self._unserved = self._read_unserved(types)
        return self._unserved

    def _read_unserved(self, types: Sequence[str]) -> Mapping[str, Unserved]:
        rows = self.session.run(
            load(SQL_PACKAGE, "unserved"),
            {"types": list(dict.fromkeys(types)), "at_most": UNSERVED_TYPES, "row_count": COUNTED_JOBS},
            timeout_seconds=self._limits.statement_seconds,
        )
        return {row["type"]: Unserved(row["jobs"], row["oldest_age_seconds"]) for row in rows}

    @property
    def depth_cap(self) -> int:
        """The most rows that are counted of one key; fewer if there are many keys."""
        share = COUNTED_ROWS // max(1, self._keys)
        return min(self._limits.depth_cap, max(LEAST_DEPTH_CAP, share))

    def url(self) -> str:
        """As it is configured now, for another connection to this database."""
        return self._urls.url(self.name)

    def _fresh_url(self) -> str:
        self._url = self.url()
        return self._url

    def _url_changed(self) -> bool:
        """A rotated password is used at once, not only after the old connection has ended."""
        return self._url is not None and self.url() != self._url


def reading_of(
    rows: Sequence[Mapping[str, Any]], before: Arrivals, *, depth_cap: int, query_seconds: float
) -> tuple[Reading, Arrivals]:
    """The statement's rows as a Reading, and the Arrivals that the next reading compares with."""
    taken_at = rows[0]["taken_at"]
    depths: dict[Key, Depth] = {}
    overlap: dict[Key, int] = {}
    pods: dict[str, dict[Key, int]] = {}
    lapsed: dict[str, dict[Key, int]] = {}
    for row in rows:
        if row["type"] is None:
            continue
        key = Key(row["type"], row["tenant_id"])
        depth = _depth(row, before.count(key, _seen(row)), depth_cap)
        if depth != _NOTHING:
            depths[key] = depth
        if row["arrivals_overlap"]:
            overlap[key] = row["arrivals_overlap"]
        for uid, running in (row["pods"] or {}).items():
            pods.setdefault(uid, {})[key] = running
        for uid, over in (row["lapsed"] or {}).items():
            lapsed.setdefault(uid, {})[key] = over
    runs = {uid: PodRun(running, lapsed.get(uid, {})) for uid, running in pods.items()}
    return Reading(taken_at, depths, runs, query_seconds), Arrivals(taken_at, overlap)


def _seen(row: Mapping[str, Any]) -> Seen:
    return Seen(row["arrivals_new"], row["arrivals_again"], row["arrivals_overlap"])


def _depth(row: Mapping[str, Any], arrivals: int, depth_cap: int) -> Depth:
    next_due_at = row["next_due_at"]
    return Depth(
        due=row["due"],
        later=row["later"],
        running=row["running"],
        oldest_age_seconds=row["oldest_age_seconds"],
        mean_age_seconds=row["mean_age_seconds"],
        capped=row["due"] >= depth_cap or row["later"] >= depth_cap,
        # A row at `infinity` never falls due.
        next_due_at=None if next_due_at == float("inf") else next_due_at,
        arrivals=arrivals,
        succeeded=row["succeeded"],
        failed=row["failed"],
    )
