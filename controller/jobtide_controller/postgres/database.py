"""One database as the loop uses it: a thread and a connection of its own, and every answer within a deadline."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence

import psycopg

from jobtide.database_errors import DatabaseUrlWrong, one_line
from jobtide.table_health import TableHealth
from jobtide_controller.decide.limits import Kept, PoolLimits
from jobtide_controller.decide.reading import Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.retention import Batch, Deleted
from jobtide_controller.loop.ports import DeletionFailedError, HeldUpError, LookFailedError, RescueFailedError
from jobtide_controller.postgres.limits import LimitsKeeper
from jobtide_controller.postgres.read_failure import classify
from jobtide_controller.postgres.readings import Limits, Reader
from jobtide_controller.postgres.rescue import rescue
from jobtide_controller.postgres.retention import LOCK_SECONDS, delete_ended
from jobtide_controller.postgres.session import Session
from jobtide_controller.postgres.table_health import look
from jobtide_controller.postgres.thread import BusyError, ConnectionThread
from jobtide_controller.postgres.urls import Urls

# Added to the server's statement timeout: for connecting and checking, or a server that does not answer at all.
GRACE_SECONDS = 6.0


class Database:
    """A reading never raises for a database that is unreachable, slow or wrong: it is Unreadable then."""

    def __init__(
        self,
        name: str,
        urls: Urls,
        limits: Limits,
        *,
        grace_seconds: float = GRACE_SECONDS,
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        """`lock_seconds`: how long a deletion waits for a row that another client holds."""
        self.name = name
        self._reader = Reader(name, urls, limits)
        self._limits = LimitsKeeper(self._reader.session)
        self._thread = ConnectionThread(f"postgres-{name}")
        # Its own, so that no reading waits for a batch: only databases with a retention have it.
        self._deletion = Session(self._reader.url)
        self._lock_seconds = lock_seconds
        self._deletion_thread: ConnectionThread | None = None
        # For a moment each half minute, so that a look at a locked table delays neither readings nor deletions.
        self._look = Session(self._reader.url)
        self._look_thread = ConnectionThread(f"table-{name}")
        self._deadline_seconds = limits.statement_seconds + grace_seconds

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes this database slow, with what to do about it."""
        return self._reader.warnings

    @property
    def hears_jobs(self) -> bool:
        """Whether an INSERT ends `await_jobs`: the last reading found no job, and its connection is notified."""
        return self._reader.hears_jobs and self._reader.hearing.is_on

    async def await_jobs(self, seconds: float) -> None:
        """Returns when something arrives on the reading's connection, at the latest after `seconds`."""
        descriptor = self._reader.hearing.descriptor()
        if descriptor is None:
            return
        if self._reader.hearing.has_notices:  # taken from the socket, as by a rescue since
            os.close(descriptor)
            return
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(descriptor, arrived.set)
        try:
            async with asyncio.timeout(seconds):
                await arrived.wait()
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def read(self, types: Sequence[str], least_limits: Mapping[str, int]) -> Reading | Unreadable:
        """One reading of these types, or why there is none."""
        if (not_configured := self._reader.not_configured()) is not None:
            await self._end_thread()
            return not_configured
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._thread.call(lambda: self._reader.read(types, least_limits))
        except BusyError as busy:
            return self._reader.unreadable(UnreadableReason.TIMEOUT, str(busy))
        except TimeoutError:
            self._reader.session.abort()
            return self._reader.unreadable(
                UnreadableReason.TIMEOUT, f"no answer within {self._deadline_seconds:g} s; the connection was cut"
            )

    async def keep_limits(self, changed: Sequence[PoolLimits], gone: Sequence[str]) -> Kept | None:
        """Stores the limits of changed pools, and reads the view; None: there was no answer, call it again."""

        def keep() -> Kept:
            kept = self._limits.keep(changed, gone)
            self._reader.paused = self._limits.paused
            return kept

        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._thread.call(keep)
        except BusyError:
            return None
        except TimeoutError:
            self._reader.session.abort()
            return None

    async def rescue(self, gives_back: Mapping[str, bool]) -> dict[str, int]:
        """Requeues the jobs of gone pods; returns their number by pod UID. Raises RescueFailedError."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._thread.call(lambda: rescue(self._reader.session, gives_back))
        except (psycopg.Error, OSError, LookupError, ValueError, DatabaseUrlWrong) as error:
            if isinstance(error, TimeoutError):
                self._reader.session.abort()
            raise RescueFailedError(f"{classify(error)}: {one_line(error)}") from error

    async def delete_ended(self, batch: Batch) -> Deleted:
        """Deletes one batch of ended jobs. Raises DeletionFailedError, HeldUpError."""
        if self._deletion_thread is None:
            self._deletion_thread = ConnectionThread(f"retention-{self.name}")
        thread = self._deletion_thread
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await thread.call(lambda: delete_ended(self._deletion, batch, lock_seconds=self._lock_seconds))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
            raise HeldUpError(one_line(error)) from error
        except (psycopg.Error, OSError, LookupError, ValueError, DatabaseUrlWrong) as error:
            if isinstance(error, TimeoutError):
                self._deletion.abort()
            raise DeletionFailedError(_deletion_words(error)) from error

    async def look_at_table(self) -> TableHealth:
        """The health of the table, over a connection that is closed again. Raises LookFailedError."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._look_thread.call(lambda: look(self._look))
        except (psycopg.Error, OSError, LookupError, ValueError, DatabaseUrlWrong) as error:
            if isinstance(error, TimeoutError):
                self._look.abort()
            raise LookFailedError(one_line(error)) from error

    async def disconnect(self) -> None:
        """Closes the connections while no pool needs them; the next reading opens a new one."""
        if self._reader.session.connected and not self._thread.busy:
            await self._thread.call(self._reader.session.close)
        thread = self._deletion_thread
        if thread is not None and self._deletion.connected and not thread.busy:
            await thread.call(self._deletion.close)

    async def _end_thread(self) -> None:
        """Pools may name any database: one without a URL keeps no thread. A call that still runs is waited for."""
        if self._thread.started and not self._thread.busy:
            await self.disconnect()
            self._thread.stop(lambda: None)

    def close(self) -> None:
        """Cuts the connection, even while a statement runs, and ends the thread."""
        self._reader.session.abort()
        self._thread.stop(self._reader.session.close)
        self._look.abort()
        self._look_thread.stop(self._look.close)
        self._deletion.abort()
        if self._deletion_thread is not None:
            self._deletion_thread.stop(self._deletion.close)


def _deletion_words(error: Exception) -> str:
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"{one_line(error)}: run jobtide schema apply --roles, which lets jobtide_controller delete ended jobs"
    if isinstance(error, psycopg.errors.ForeignKeyViolation):
        return f"{one_line(error)}: give that foreign key ON DELETE CASCADE or SET NULL, or remove spec.retention"
    return f"{classify(error)}: {one_line(error)}"
