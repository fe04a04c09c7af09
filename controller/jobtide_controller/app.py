"""New."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass

from jobtide import __version__
from jobtide_controller.kube.api.client import Api, load_configuration
from jobtide_controller.kube.api.lease import Elector
from jobtide_controller.kube.inventory.relist import Relister
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.inventory.watch import Watch
from jobtide_controller.kube.write.apply import Applier
from jobtide_controller.kube.write.events import EventRecorder
from jobtide_controller.kube.write.rate_limit import Pace
from jobtide_controller.kube.write.status_writer import StatusWriter
from jobtide_controller.kube.write.work_queue import WriteQueue
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.loop.budget import Budget
from jobtide_controller.loop.database_loop import DatabaseLoop
from jobtide_controller.loop.databases import Loops
from jobtide_controller.loop.interval import Interval
from jobtide_controller.loop.pipeline import Pipeline
from jobtide_controller.loop.report import Reporter
from jobtide_controller.loop.rescuer import Rescuer
from jobtide_controller.postgres.database import Database
from jobtide_controller.postgres.readings import Limits
from jobtide_controller.postgres.urls import DatabaseUrls
from jobtide_controller.settings import Settings
from jobtide_controller.telemetry import logs
from jobtide_controller.telemetry.events import Emit, Event, LeaderChanged, Started, Stopping, Subscriber, to_all
from jobtide_controller.telemetry.health import Health
from jobtide_controller.telemetry.metrics import Metrics, PoolGauges

# Kubernetes waits longer; whoever deletes the pod should not have to.
HAND_OVER_SECONDS = 1.5


async def run(settings: Settings, stop: asyncio.Event | None = None) -> int:
    """Until SIGTERM, SIGINT or `stop` (0), or until something without which we can't go on ended (1)."""
    stop = stop or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    api = Api(await load_configuration())
    try:
        return await build(settings, api).run(stop)
    finally:
        await api.close()


@dataclass(frozen=True, slots=True)
class Controller:
    """The parts that run; all else hangs on them."""

    settings: Settings
    emit: Emit
    elector: Elector
    queue: WriteQueue
    relister: Relister
    watch: Watch
    loops: Loops
    health: Health
    databases: dict[str, Database]
    filled: asyncio.Event

    async def run(self, stop: asyncio.Event) -> int:
        settings = self.settings
        server, port = await self.health.serve(settings.http_port)
        configured = tuple(DatabaseUrls(settings.databases_dir).names())
        self.emit(Started(__version__, settings.namespaces, configured, settings.pod_name, port))
        work = asyncio.create_task(self._work(), name="work")
        asked = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        failure = work.exception() if work.done() else None
        self.emit(Stopping("asked to" if failure is None else _words(failure), failed=failure is not None))
        asked.cancel()
        await _cancel(work)
        await self._hand_over()
        await server.cleanup()
        return 0 if failure is None else 1

    async def _work(self) -> None:
        """Nothing is decided, and no lease taken, before the cluster is known."""
        await self.relister.fill()
        self.filled.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watch.run(), name="watch")
            group.create_task(self.relister.run(self.settings.resync_seconds), name="relist")
            group.create_task(self.elector.run(), name="lease")
            group.create_task(self.loops.run(), name="loops")

    async def _hand_over(self) -> None:
        """What is on its way arrives before another may act, and that is within two seconds."""
        self.elector.resign()
        self.queue.clear()
        try:
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self.queue.idle()
                await self.elector.release()
        except TimeoutError:
            self.emit(Stopping("the lease was not released in time, it runs out by itself"))
        for database in self.databases.values():
            database.close()


def build(settings: Settings, api: Api) -> Controller:
    board = PoolGauges()
    metrics = Metrics(board)
    subscribers: list[Subscriber] = [logs.on_event, metrics, _clear_when_following(board)]
    emit = to_all(subscribers)

    inventory = Inventory(emit)
    elector = Elector(api, emit, namespace=settings.namespace, name=settings.lease_name, identity=settings.pod_name)
    writer = Writer(api, emit, leading=elector.held, pace=Pace())
    subscribers.append(EventRecorder(writer, emit, instance=settings.pod_name))
    applier = Applier(inventory, writer)
    queue = WriteQueue(emit)
    reporter = Reporter(StatusWriter(inventory, writer, queue), emit)
    pipeline = Pipeline(inventory, applier, queue, reporter, board)
    relister = Relister(api, inventory, settings.namespaces, emit)

    urls = DatabaseUrls(settings.databases_dir)
    limits = Limits(statement_seconds=settings.read_timeout_seconds, depth_cap=settings.depth_cap)
    databases: dict[str, Database] = {}

    def new_loop(name: str) -> DatabaseLoop:
        database = databases[name] = Database(name, urls, limits)
        orphans = Rescuer(database, inventory.pods.presence_of, relister.pod_uids, emit)
        budget = Budget(settings.connection_budgets.get(name))
        board.put_budget(name, budget)
        return DatabaseLoop(
            database,
            inventory,
            pipeline,
            orphans,
            emit,
            leading=elector.held,
            observe=board.put_reading,
            budget=budget,
            interval=Interval(settings.tick_min_seconds, settings.tick_max_seconds),
        )

    loops = Loops(inventory.pools.databases, new_loop)
    filled = asyncio.Event()
    health = Health(loops.beats, filled.is_set, metrics.registry, monotonic=time.monotonic)
    watch = Watch(inventory, settings.namespaces, emit, on_gap=relister.soon)
    return Controller(settings, emit, elector, queue, relister, watch, loops, health, databases, filled)


def _clear_when_following(board: PoolGauges) -> Subscriber:
    def subscriber(event: Event, /) -> None:
        if isinstance(event, LeaderChanged) and not event.leading:
            board.clear()

    return subscriber


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _words(failure: BaseException) -> str:
    """A group of one failure is that failure."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return f"{type(failure).__name__}: {failure}"
