"""The composition root of `jobtide dev`: the controller's loop over processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jobtide.errors import JobtideError
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.embedded import console
from jobtide_controller.embedded import pools as local_pools
from jobtide_controller.embedded.crew import Worker
from jobtide_controller.embedded.inspection import Application, BrokenError, inspect
from jobtide_controller.embedded.launch import Launcher
from jobtide_controller.embedded.process import LOOPBACK, Guard, NotStartedError, Process
from jobtide_controller.embedded.reload import Reloader
from jobtide_controller.embedded.scaler import LocalWrites
from jobtide_controller.embedded.screen import Screen, as_object
from jobtide_controller.embedded.workers import LocalWorkers
from jobtide_controller.loop.changes import Changes
from jobtide_controller.loop.database_loop import DatabaseLoop
from jobtide_controller.loop.pipeline import Pipeline
from jobtide_controller.loop.pools import Pools
from jobtide_controller.loop.report import Reporter
from jobtide_controller.loop.rescuer import Rescuer
from jobtide_controller.loop.term import Terms
from jobtide_controller.page.access import OneToken
from jobtide_controller.page.server import Page, Place
from jobtide_controller.page.snapshot import Snapshot, take
from jobtide_controller.postgres.database import Database
from jobtide_controller.postgres.readings import Limits
from jobtide_controller.telemetry import logs
from jobtide_controller.telemetry.events import Emit, Subscriber, to_all
from jobtide_controller.telemetry.health import Health
from jobtide_controller.telemetry.metrics import GaugeCollector, Metrics

Result = TypeVar("Result")

STOPPED_CODE = 130  # as a shell reports an end by Ctrl-C
HURRIES = 6  # signals to a worker, since two that come together count as one
HURRY_SECONDS = 0.5  # between them, to return jobs; and at last until killed processes are gone


@dataclass(frozen=True, slots=True)
class Options:
    """What one session works on."""

    app: str
    pools: tuple[JobWorkerPool, ...]  # empty: one for all types of the application
    url: str
    directory: Path
    environment: Mapping[str, str]
    owner: str  # of the workers' UIDs
    reload: bool
    port: int  # of /metrics and /pools; 0: any free one
    page_port: int | None  # of the page; None: any free one, where it can the one after `port`
    screen: Screen


@dataclass(frozen=True, slots=True)
class _OneUrl:
    name: str
    text: str

    def names(self) -> list[str]:
        return [self.name]

    def url(self, name: str) -> str:
        del name
        return self.text


async def run(options: Options) -> int:
    """Runs until SIGINT, SIGTERM or SIGHUP. The exit code: 0 after a drain, 130 if it was cut short.

    Raises JobtideError for an application or a port that can't be used.
    """
    stop = _Stop()
    launcher = Launcher(options.app, options.url, options.directory, options.environment)
    application = await stop.unless_asked(inspect(options.app, launcher.base, options.directory))
    if application is None:
        return STOPPED_CODE
    guard = Guard()
    try:
        return await _Session(options, launcher, application, guard).run(stop)
    finally:
        guard.close()


class _Stop:
    """The first signal asks for a drain, the second for an end at once."""

    def __init__(self) -> None:
        self.drain, self.now = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)

    async def unless_asked(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """What the work returns; None if a signal came before, which cancels it."""
        task, asked = asyncio.create_task(work), asyncio.create_task(self.drain.wait())
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            return None
        return await task

    def _signalled(self) -> None:
        (self.now if self.drain.is_set() else self.drain).set()


class _Session:
    def __init__(self, options: Options, launcher: Launcher, application: Application, guard: Guard) -> None:
        self._options = options
        self._began = time.time()
        self._launcher = launcher
        self._broken = ""  # the application's files can't be imported as they are now: why
        self._subscribers: list[Subscriber] = [logs.on_event]
        emit = self._emit = to_all(self._subscribers)
        self._pools = Pools(Changes())
        options.screen.entries = lambda: self._pools
        self._subscribers.append(options.screen)
        self._workers = LocalWorkers(self._pools, self._launch, guard, console.say_of_worker, owner=options.owner)
        terms = self._terms = Terms(lambda: 1, lambda: LocalWrites(self._pools, self._workers))
        metrics = Metrics(GaugeCollector(terms.pool_gauges, terms.database_gauges))
        self._subscribers.append(metrics)
        self._follow(application)
        (name,) = self._pools.databases()
        self._urls = _OneUrl(name, options.url)
        self._database = Database(name, self._urls, Limits())
        self._loop = self._database_loop(terms, emit)
        self._health = Health(
            lambda: {f"database {name}": self._loop.ticked_at},
            lambda: True,
            metrics,
            monotonic=time.monotonic,
            documents={"/pools": self._objects},
        )
        self._reloader = Reloader(
            application,
            lambda: inspect(options.app, launcher.base, options.directory),
            self._replace,
            self._note_broken,
            console.say,
        )

    def _database_loop(self, terms: Terms, emit: Emit) -> DatabaseLoop:
        pipeline = Pipeline(self._pools, self._workers, Reporter(emit))
        rescuer = Rescuer(self._database, self._workers, emit)
        return DatabaseLoop(self._database, self._pools, pipeline, rescuer, terms, emit=emit)

    async def run(self, stop: _Stop) -> int:
        with _port_words(self._options.port):
            server, port = await self._health.serve(self._options.port, LOOPBACK)
        console.say(f"metrics on http://{LOOPBACK}:{port}/metrics; Ctrl-C drains the workers and ends")
        page = self._start_page(port)
        tasks = [asyncio.create_task(self._loop.run(), name="loop")]
        if self._options.reload:
            tasks.append(asyncio.create_task(self._reloader.run(), name="reload"))
        try:
            asked = asyncio.create_task(stop.drain.wait())
            await asyncio.wait({asked, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            await _cancel(tasks)
            return await self._end(stop)
        finally:
            self._workers.kill()
            self._database.close()
            await page.close()
            await asyncio.to_thread(server.close)

    def _start_page(self, metrics_port: int) -> Page:
        """Raises JobtideError for a port that the user chose and that can't be used."""
        token, wanted = secrets.token_urlsafe(24), self._options.page_port

        def page(port: int) -> Page:
            place = Place(port, LOOPBACK, mode="dev")
            reviews = OneToken(token, "the owner of this terminal")
            return Page(place, self._snapshot, reviews, self._urls, self._emit)

        started = page(wanted if wanted is not None else metrics_port + 1 if self._options.port else 0)
        try:
            port = started.start()
        except (OSError, OverflowError) as error:
            if wanted is not None:
                words = error.strerror if isinstance(error, OSError) else str(error)
                raise JobtideError(
                    f"port {wanted} of {LOOPBACK} can't be used: {words}; choose another with --page-port, 0 for any "
                    "free one"
                ) from None
            started = page(0)
            port = started.start()
        console.say(f"the page: http://{LOOPBACK}:{port}/#token={token}")
        return started

    def _snapshot(self) -> Snapshot:
        return take(self._pools, self._terms.current, "jobtide dev", time.time())

    async def _end(self, stop: _Stop) -> int:
        self._workers.stop()
        if self._workers.count:
            console.say(f"stopping: {self._workers.count} workers finish their jobs; Ctrl-C again ends them at once")
        drained, asked = asyncio.create_task(self._workers.ended()), asyncio.create_task(stop.now.wait())
        await asyncio.wait({drained, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not self._workers.count:
            console.say("stopped")
            return 0
        for _ in range(HURRIES):
            self._workers.hurry()
            await asyncio.wait({drained}, timeout=HURRY_SECONDS)
        self._workers.kill()
        await asyncio.wait({drained}, timeout=HURRY_SECONDS)
        console.say("ended at once: the jobs that ran are back in the queue, or will be at the next start")
        return STOPPED_CODE

    def _objects(self) -> dict[str, Any]:
        """The pools as `kubectl get jwp -o json` has them."""
        return {"kind": "List", "items": [as_object(entry, self._began) for entry in self._pools]}

    async def _launch(self, pool: JobWorkerPool, worker: Worker, port: int) -> Process:
        """A worker that would fail at its import is not started: the next change of the files ends that."""
        if self._broken:
            raise NotStartedError(self._broken)
        return await self._launcher(pool, worker, port)

    def _replace(self, application: Application) -> None:
        """Raises BrokenError if the pools and the application don't fit."""
        self._follow(application)
        self._broken = ""
        self._workers.renew()

    def _note_broken(self, why: str) -> None:
        self._broken = why

    def _follow(self, application: Application) -> None:
        """Raises BrokenError if the pools and the application don't fit, PoolsError for types that no pool may have."""
        given = self._options.pools
        for pool in given:
            missing = [name for name in pool.spec.types if name not in application.types]
            if missing:
                raise BrokenError(
                    f"pool {pool.metadata.name} has the type {missing[0]!r}, and {self._options.app} has handlers for "
                    f"{', '.join(map(repr, application.types))} only: add a handler, or remove it from spec.types"
                )
        local_pools.follow(self._pools, given or local_pools.of_types(application.types))


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


@contextlib.contextmanager
def _port_words(port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JobtideError(
            f"port {port} of {LOOPBACK} can't be used: {error.strerror}; choose another with --port, 0 for any free one"
        ) from None
