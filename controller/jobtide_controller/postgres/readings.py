"""Reads one database: a statement or two a tick for all its pools, and every failure as a value.

The first counts everything, each tenant by itself. Where a type has more tenants than one reading can look at, the
second counts what waits for the next few thousand of them, and every few seconds a third one all rows of the type:
docs/adr/2026-11-29-two-readings.md.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import Any

import psycopg

from jobtide.database_errors import DatabaseUrlWrong, one_line
from jobtide.schema import Problem, ProblemKind, check
from jobtide.sql import load
from jobtide_controller.decide.reading import Reading, Unreadable, UnreadableReason, Unserved
from jobtide_controller.decide.unserved import COUNTED_JOBS
from jobtide_controller.postgres.arrivals import OVERLAP_SECONDS, Arrivals
from jobtide_controller.postgres.attempts import Watched
from jobtide_controller.postgres.beyond import Beyond
from jobtide_controller.postgres.hearing import Hearing
from jobtide_controller.postgres.laps import Counted, Lap, slice_of, waiting_of
from jobtide_controller.postgres.read_failure import classify
from jobtide_controller.postgres.rows import arrivals_of, reading_of, running_of
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

# Tenants that are looked at one by one, which takes 30 us each: of all types together, and at least of each type.
KEYS, LEAST_KEYS = 500, 10
# What one slice of the other types' tenants takes: 2,500 index entries are 5 to 10 ms. Types take turns.
CHUNKS, LEAST_CHUNKS, CHUNK_ROWS = 25, 4, 100
SLICES = 10
NAMED = 50  # tenants of each slice that may be shown by name

FIRST_SLICES = 100  # of types whose tenants have just become many; others wait for the next reading
# The rows of up to SLICES of these types that are counted at once: 0.2 to 0.4 us each. It takes a 160th of a core.
TOTAL_ROWS = 200_000
TOTAL_SHARE = 1 / 160

# After a longer pause (another replica led, or the database was away) all slices are read again.
LAPS_KEPT_SECONDS = 60.0

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


NO_LIMITS: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one reading may cost."""

    statement_seconds: float = 5.0
    depth_cap: int = 10_000


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
        self._laps: dict[str, Lap] = {}  # by type, the one that was read longest ago first
        self._walked_types = 0
        self._total_from = -math.inf  # when all rows of such types may be counted again
        self._since: float | None = None
        self._unserved: Mapping[str, Unserved] = {}
        self._walked_at: float | None = None
        self._beyond = Beyond(monotonic)
        self.hearing = Hearing(monotonic)
        self.hears_jobs = False  # the last reading found none, and an INSERT notifies
        self._is_quiet = False
        self.paused: frozenset[str] = frozenset()  # tenants that are read by themselves, however many there are

    def read(self, types: Sequence[str], least_limits: Mapping[str, int] = NO_LIMITS) -> Reading | Unreadable:
        """One reading of these types, or why there is none. `least_limits` as in the port Source."""
        laps = self._laps
        self.hears_jobs = False
        try:
            if not self.session.connected or self._url_changed():
                self._checked_at = None
                self.session.close()
            self._check()
            if self._is_quiet:
                self.hearing.begin(self.session.connect(), types)
            reading = self._read(types, least_limits)
            reading = self._beyond.added(reading, self.session, self._limits.statement_seconds)
            reading = replace(reading, unserved=self._unserved_now(types))
            self._hear(reading)
        except UnfitError as unfit:
            self.session.close()
            return self.unreadable(unfit.reason, str(unfit))
        except (psycopg.Error, OSError, NotConfiguredError, DatabaseUrlWrong, ValueError) as error:
            self.session.close()
            self._laps = laps  # what arrived is counted again
            self._walked_types = max(1, len(types))  # if it took too long, the next one looks at fewer tenants
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

    def _read(self, types: Sequence[str], least_limits: Mapping[str, int]) -> Reading:
        started = self._monotonic()
        requested = dict.fromkeys(types)
        self._laps = {
            type_: lap.listed_from(least_limits.get(type_, 0))
            for type_, lap in self._laps.items()
            if type_ in requested and started - self._read_at < LAPS_KEPT_SECONDS
        }
        rows = self.session.run(
            load(SQL_PACKAGE, "readings"),
            {
                "types": list(requested),
                "many_types": list(self._laps),
                "keys_cap": self._keys_cap,
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
        cut = {row["type"] for row in rows if row["is_cut"]}
        if self._laps or cut:
            running = running_of(rows)
            self._note_arrivals(rows, running)
            self._read_slices(rows, cut, least_limits)
        cost = self._monotonic() - started  # without the count, which has a share of its own: it would slow readings
        if self._laps:
            self._count_all(running_of(rows))
        reading, self._arrivals = reading_of(
            rows,
            self._arrivals,
            depth_cap=self.depth_cap,
            query_seconds=cost,
            laps=self._laps,
            least_limits=least_limits,
            paused=self.paused,
        )
        self._watched = Watched.of(rows)
        self._read_at = started
        self._note_keys(reading)
        return reading

    def _read_slices(self, rows: Sequence[Mapping[str, Any]], new: set[str], least_limits: Mapping[str, int]) -> None:
        """The next slice of the types whose turn it is, and the first one of each new type."""
        chosen = [*sorted(new)[:FIRST_SLICES], *list(self._laps)[:SLICES]]
        laps = {type_: self._laps.get(type_, Lap()).listed_from(least_limits.get(type_, 0)) for type_ in chosen}
        found = self.session.run(
            load(SQL_PACKAGE, "tenant_slice"),
            {
                "types": chosen,
                "afters": [lap.after for lap in laps.values()],
                "list_froms": [lap.list_from for lap in laps.values()],
                "listed": list(
                    {row["tenant_id"] for row in rows if row["running"] and row["type"] in least_limits} | self.paused
                ),
                "chunks": max(LEAST_CHUNKS, CHUNKS // len(chosen)),
                "chunk_rows": CHUNK_ROWS,
                "top": NAMED,
            },
            timeout_seconds=self._limits.statement_seconds,
        )
        for type_, lap in laps.items():
            self._laps.pop(type_, None)  # to the end: the types take turns
            self._laps[type_] = lap.with_slice(slice_of([row for row in found if row["type"] == type_]))

    def _note_arrivals(self, rows: Sequence[Mapping[str, Any]], running: Mapping[str, int]) -> None:
        arrivals = arrivals_of(rows, self._arrivals, self._laps)
        for type_, lap in self._laps.items():
            self._laps[type_] = lap.with_arrivals(arrivals.get(type_, {}), running.get(type_, 0))

    def _count_all(self, running: Mapping[str, int]) -> None:
        """Every few seconds, and for new types at once; those that were counted longest ago."""
        started = self._monotonic()
        if started < self._total_from and all(lap.counted for lap in self._laps.values()):
            return
        types = nsmallest(SLICES, self._laps, key=lambda type_: self._laps[type_].counted_at)
        found = self.session.run(
            load(SQL_PACKAGE, "waiting_total"),
            {"types": types, "row_cap": TOTAL_ROWS // len(types)},
            timeout_seconds=self._limits.statement_seconds,
        )
        for row in found:
            counted = Counted(waiting_of(row), running.get(row["type"], 0))
            self._laps[row["type"]] = replace(self._laps[row["type"]], counted=counted, counted_at=started)
        ended = self._monotonic()
        self._total_from = ended + (ended - started) / TOTAL_SHARE

    def _note_keys(self, reading: Reading) -> None:
        """A type whose tenants have become few is read as a whole again."""
        self._walked_types = len({key.type for key in reading.depths if key.type not in self._laps})
        self._keys = sum(key.type not in self._laps for key in reading.depths)
        few = self._keys_cap // 2
        self._laps = {
            type_: lap for type_, lap in self._laps.items() if lap.tenants >= few or lap.after or not lap.complete
        }

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

    def at_the_first_tenant(self, type_: str) -> bool:
        """Whether the next slice of the type's tenants is the first of a lap; so it is for a type that needs none."""
        lap = self._laps.get(type_)
        return lap is None or lap.after is None

    @property
    def _keys_cap(self) -> int:
        """The most tenants of one type that are looked at one by one."""
        return max(LEAST_KEYS, KEYS // max(1, self._walked_types))

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
