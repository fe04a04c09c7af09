"""Changes of jobs: preview, confirm with the number, then batches in a thread, with progress, stop and a log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import psycopg

from jobtide.database_errors import one_line
from jobtide.errors import JobtideError
from jobtide.operate.change import Change, begun_at, preview
from jobtide.operate.filters import JobFilter, Verb
from jobtide.operate.read import JobLine
from jobtide.operate.session import Connection
from jobtide_controller.page.desk import Desk
from jobtide_controller.page.documents import Json
from jobtide_controller.page.job_documents import job_row
from jobtide_controller.page.problems import problem
from jobtide_controller.page.rights import User
from jobtide_controller.postgres.urls import NotConfiguredError

PREVIEW_SECONDS = 300.0  # that a preview may be confirmed
PREVIEWS_MAX = 200
KEPT = 200  # entries of the log in memory; the controller's own log has all
AT_ONCE = 2  # actions on one database
EXAMPLES = 10

State = Literal["running", "done", "stopped", "failed"]

_log = logging.getLogger("jobtide_controller")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a viewer asks to change."""

    database: str
    verb: Verb
    filters: tuple[JobFilter, ...]  # one; or one for each id
    shown: dict[str, object]  # the filter as the log has it

    @classmethod
    def of_filter(cls, database: str, verb: Verb, which: JobFilter) -> Wanted:
        """Jobs that are created after the preview are not concerned."""
        if which.id is None and which.until is None:
            which = replace(which, until=datetime.now(UTC))
        return cls(database, verb, (which,), dict(which.to_json()))

    @classmethod
    def of_ids(cls, database: str, verb: Verb, ids: Sequence[UUID]) -> Wanted:
        filters = tuple(JobFilter(id=id_) for id_ in ids)
        return cls(database, verb, filters, {"ids": len(ids)} if len(ids) > 1 else {"id": str(ids[0])})


@dataclass(frozen=True, slots=True)
class Found:
    """What a preview found."""

    count: int
    is_at_least: bool
    examples: tuple[JobLine, ...]
    types: frozenset[str]  # of the jobs named by id; those of a filter follow from its type
    at: datetime  # by the server's clock: what was created or ended later is not changed
    filters: tuple[JobFilter, ...]  # without the ids of jobs that can't be changed now: their types were not checked

    def to_json(self, token: str) -> Json:
        return {
            "count": self.count,
            "at_least": self.is_at_least,
            "examples": [job_row(job) for job in self.examples],
            "token": token,
        }


@dataclass(frozen=True, slots=True)
class _Previewed:
    user: User
    wanted: Wanted
    found: Found
    ends_at: float


@dataclass(slots=True)
class Action:
    """One entry of the log. Times are seconds since the epoch."""

    id: str
    user: User
    wanted: Wanted
    found: Found
    begun: float
    done: int = 0
    refused: int = 0
    state: State = "running"
    message: str | None = None
    ended: float | None = None
    is_stopped: bool = False
    change: Change | None = None

    def to_json(self) -> Json:
        return {
            "id": self.id,
            "who": self.user.name,
            "verb": self.wanted.verb,
            "database": self.wanted.database,
            "filter": self.wanted.shown,
            "count": self.found.count,
            "done": self.done,
            "refused": self.refused,
            "state": self.state,
            "message": self.message,
            "begun": self.begun,
            "ended": self.ended,
        }

    def stop(self) -> None:
        """Ends it after the batch that runs."""
        self.is_stopped = True
        if self.change is not None:
            self.change.stop()


Report = Callable[[Action], object]


@dataclass(slots=True)
class Actions:
    """Belongs to the page's event loop. `report` gets each action once it has ended, however it did."""

    desk: Desk
    report: Report
    kept: int = KEPT
    version: int = 0  # counts changes of the log
    _previews: OrderedDict[str, _Previewed] = field(default_factory=OrderedDict)
    _log: deque[Action] = field(default_factory=deque)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def preview(self, user: User, wanted: Wanted, check: Callable[[Found], object]) -> Json:
        """The number of jobs and examples; `check` raises if the viewer may not change them."""
        found = await self.desk.ask(wanted.database, lambda connection: _found(connection, wanted))
        check(found)
        wanted = replace(wanted, filters=found.filters)
        token = secrets.token_urlsafe(24)
        self._previews[token] = _Previewed(user, wanted, found, time.monotonic() + PREVIEW_SECONDS)
        while len(self._previews) > PREVIEWS_MAX:
            self._previews.popitem(last=False)
        return found.to_json(token)

    def previewed(self, user: User, token: str, confirmed: object) -> tuple[Wanted, Found]:
        """What was previewed, if it is this user's and the number is right. Raises the refusal."""
        known = self._previews.get(token)
        if known is None or not known.user.is_same(user) or time.monotonic() >= known.ends_at:
            raise problem(409, "the preview is too old, or none of yours", "look at the preview again")
        if isinstance(confirmed, bool) or confirmed != known.found.count:
            raise problem(
                409, f"the preview found {known.found.count:,} jobs, not the number given", "type the number shown"
            )
        return known.wanted, known.found

    def start(self, user: User, token: str) -> Action:
        """Begins a confirmed preview, once. Raises the refusal."""
        known = self._previews[token]
        database = known.wanted.database
        running = [action for action in self._log if action.state == "running" and action.wanted.database == database]
        if len(running) >= AT_ONCE:
            raise problem(409, f"{AT_ONCE} actions run on database {database} already", "wait, or stop one of them")
        del self._previews[token]
        action = Action(secrets.token_hex(8), user, known.wanted, known.found, time.time())
        self._log.appendleft(action)
        while len(self._log) > self.kept and (over := self._oldest_ended()) is not None:
            self._log.remove(over)
        self.version += 1
        task = asyncio.create_task(self._run(action), name=f"action {action.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return action

    def get(self, id_: str) -> Action | None:
        return next((action for action in self._log if action.id == id_), None)

    def seen(self, may_see: Callable[[Action], bool]) -> list[Json]:
        """The log, newest first, as far as a viewer may see it."""
        return [action.to_json() for action in self._log if may_see(action)]

    def stop_all(self) -> None:
        """The controller ends, or leads no more: then no page shows what runs here."""
        for action in self._log:
            action.stop()

    def _oldest_ended(self) -> Action | None:
        """What runs stays in the log: it can be stopped there only."""
        return next((action for action in reversed(self._log) if action.state != "running"), None)

    async def _run(self, action: Action) -> None:
        lane, loop = self.desk.new_lane(action.wanted.database), asyncio.get_running_loop()

        def progress() -> None:
            self.version += 1

        try:
            await lane.call(lambda connection: _change(connection, action, lambda: loop.call_soon_threadsafe(progress)))
            action.state = "stopped" if action.is_stopped else "done"
        except (JobtideError, NotConfiguredError, psycopg.Error, OSError) as error:
            action.state, action.message = "failed", one_line(error)
        except Exception:  # noqa: BLE001 - it is logged with its traceback
            _log.exception("bug: action %s failed, please report it", action.id)
            action.state, action.message = "failed", "a bug in Jobtide; the controller's log has the traceback"
        finally:
            action.ended, action.change = time.time(), None
            if action.state == "running":
                action.state = "stopped"
            self.version += 1
            lane.close()
            self.report(action)


def _found(connection: Connection, wanted: Wanted) -> Found:
    """Of several ids, each is looked at by itself; there are few."""
    at = begun_at(connection).at
    parts = [(which, preview(connection, wanted.verb, which)) for which in wanted.filters]
    examples = [job for _, part in parts for job in part.examples]
    return Found(
        count=sum(part.number for _, part in parts),
        is_at_least=any(part.is_at_least for _, part in parts),
        examples=tuple(examples[:EXAMPLES]),
        types=frozenset(job.type for job in examples) if wanted.filters[0].id is not None else frozenset(),
        at=at,
        filters=tuple(which for which, part in parts if which.id is None or part.examples),
    )


def _change(connection: Connection, action: Action, progress: Callable[[], object]) -> None:
    """Runs in the lane's thread."""
    done = refused = 0
    wanted, by, as_of = action.wanted, action.user.name, action.found.at
    for which in wanted.filters:
        if action.is_stopped:
            return
        with _running(action, Change(connection, wanted.verb, which, by=by, as_of=as_of)) as change:
            for step in change:
                action.done, action.refused = done + step.changed, refused + step.skipped
                with contextlib.suppress(RuntimeError):  # the page has ended
                    progress()
        done, refused = action.done, action.refused


@contextlib.contextmanager
def _running(action: Action, change: Change) -> Iterator[Change]:
    action.change = change
    if action.is_stopped:
        change.stop()
    try:
        yield change
    finally:
        action.change = None
