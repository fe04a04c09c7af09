"""The databases as an operator sees them: few connections to each, every call in a thread, with a bound of time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import psycopg
from aiohttp import web

from jobtide.database_errors import DatabaseUrlWrong, one_line
from jobtide.operate.filters import FilterRefused
from jobtide.operate.session import Connection, TooSlow, operator_connection
from jobtide_controller.page.problems import problem
from jobtide_controller.postgres.session import CLIENT_OPTIONS
from jobtide_controller.postgres.thread import ConnectionThread
from jobtide_controller.postgres.urls import NotConfiguredError

LANES = 3  # connections to one database for looking; each action has one of its own
WAIT_SECONDS = 5.0  # for a free connection
IDLE_SECONDS = 60.0

Result = TypeVar("Result")

HOW_TO_ADD = "ask the administrator to set databases.NAME.operatorSecretName in the chart: docs/page.md says how"


class OperatorUrls(Protocol):
    """Where the operator's URL of each database is. They can change at any time."""

    def names(self) -> list[str]:
        """The databases that have one."""
        ...

    def url(self, name: str) -> str:
        """Raises NotConfiguredError or DatabaseUrlWrong."""
        ...


class NoDatabases:
    """No database has an operator's URL."""

    def names(self) -> list[str]:
        return []

    def url(self, name: str) -> str:
        raise NotConfiguredError(name)


class Lane:
    """One connection in a thread of its own. It connects at the first call, and again where it must."""

    def __init__(self, name: str, url: Callable[[], str]) -> None:
        self._thread = ConnectionThread(f"page {name}")
        self._url = url
        self._connected_to: str | None = None
        self._connection: Connection | None = None

    async def call(self, work: Callable[[Connection], Result]) -> Result:
        """Cancelling ends the wait, not the work."""
        return await self._thread.call(lambda: self._work(work))

    def close(self) -> None:
        """Ends thread and connection, after the call that runs."""
        self._thread.stop(self._disconnect)

    async def disconnect(self) -> None:
        await self._thread.call(self._disconnect)

    def _work(self, work: Callable[[Connection], Result]) -> Result:
        url = self._url()
        if self._connection is None or self._connection.broken or url != self._connected_to:
            self._disconnect()
            self._connection = operator_connection(url, **CLIENT_OPTIONS)
            self._connected_to = url
        try:
            return work(self._connection)
        except psycopg.OperationalError:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


@dataclass(slots=True)
class _Place:
    """The lanes of one database."""

    free: list[Lane] = field(default_factory=list)
    count: int = 0
    freed: asyncio.Condition = field(default_factory=asyncio.Condition)
    resting: asyncio.TimerHandle | None = None


class Desk:
    """Belongs to the page's event loop."""

    def __init__(self, urls: OperatorUrls) -> None:
        self._urls = urls
        self._places: defaultdict[str, _Place] = defaultdict(_Place)
        self._tasks: set[asyncio.Task[object]] = set()

    def databases(self) -> frozenset[str]:
        """Those whose jobs can be looked at."""
        return frozenset(self._urls.names())

    async def ask(self, database: str, work: Callable[[Connection], Result]) -> Result:
        """What `work` returns. Raises the refusal that says what went wrong."""
        if database not in self.databases():
            raise problem(404, f"the page has no operator's URL of database {database[:80]}", HOW_TO_ADD)
        lane = await self._lane(database)
        task: asyncio.Task[Result] = asyncio.create_task(self._call(database, lane, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with as_refusals(database):
            return await asyncio.shield(task)

    def new_lane(self, database: str) -> Lane:
        """A connection for an action; the caller closes it."""
        return Lane(database, lambda: self._urls.url(database))

    def close(self) -> None:
        for place in self._places.values():
            for lane in place.free:
                lane.close()

    async def _call(self, database: str, lane: Lane, work: Callable[[Connection], Result]) -> Result:
        place = self._places[database]
        try:
            return await lane.call(work)
        finally:
            async with place.freed:
                place.free.append(lane)
                place.freed.notify()
            self._rest_later(place)

    async def _lane(self, database: str) -> Lane:
        place = self._places[database]
        try:
            async with asyncio.timeout(WAIT_SECONDS), place.freed:
                while not place.free and place.count >= LANES:
                    await place.freed.wait()
                if place.free:
                    return place.free.pop()
                place.count += 1
        except TimeoutError:
            raise problem(503, f"others ask database {database} at the moment", "try again in some seconds") from None
        return self.new_lane(database)

    def _rest_later(self, place: _Place) -> None:
        """Closes connections that no viewer needs any more."""
        if place.resting is not None:
            place.resting.cancel()
        place.resting = asyncio.get_running_loop().call_later(IDLE_SECONDS, _rest, place)


def _rest(place: _Place) -> None:
    while place.free:
        place.free.pop().close()
        place.count -= 1


@contextlib.contextmanager
def as_refusals(database: str) -> Iterator[None]:
    """Turns errors of jobtide.operate into refusals."""
    try:
        yield
    except FilterRefused as error:
        raise refused(error) from None
    except TooSlow as error:
        raise problem(504, str(error).replace("--", ""), "name more of tenant, type, status, since, until") from None
    except NotConfiguredError as error:
        raise problem(404, str(error), HOW_TO_ADD) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise problem(
            502,
            f"the operator's role of database {database} may not do this: {one_line(error)}",
            "grant it jobtide_operator: docs/jobs.md says how",
        ) from None
    except (psycopg.Error, OSError, DatabaseUrlWrong) as error:
        raise problem(502, f"database {database} does not answer: {one_line(error)}", "try again later") from None


def refused(error: FilterRefused) -> web.HTTPException:
    """The refusal of a filter, in the words of a URL."""
    value = f" {error.value}" if error.value else ""
    return problem(400, f"{error.field}{value}: {error.why}".replace("--", ""), error.fix.replace("--", ""))
