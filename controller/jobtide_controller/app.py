"""The composition root: builds the controller from its settings, runs it, and ends it in order."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass

from jobtide import __version__
from jobtide_controller.kube.api.client import Api, load_configuration
from jobtide_controller.kube.api.lease import Elector
from jobtide_controller.kube.inventory.causes import Causes
from jobtide_controller.kube.inventory.relist import Relister
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.inventory.watch import Watch
from jobtide_controller.kube.inventory.workers import PodWorkers
from jobtide_controller.kube.write.events import EventRecorder
from jobtide_controller.kube.write.scaler import KubeWrites
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import WriteQueue
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.loop.database_loop import DatabaseLoop
from jobtide_controller.loop.databases import Loops
from jobtide_controller.loop.interval import Interval
from jobtide_controller.loop.pipeline import Pipeline
from jobtide_controller.loop.report import Reporter
from jobtide_controller.loop.rescuer import Rescuer
from jobtide_controller.loop.term import Terms
from jobtide_controller.page.server import Page, Place
from jobtide_controller.page.snapshot import Snapshot, take
from jobtide_controller.page_reviews import ClusterReviews
from jobtide_controller.postgres.database import Database
from jobtide_controller.postgres.readings import Limits
from jobtide_controller.postgres.urls import DatabaseUrls
from jobtide_controller.settings import Settings
from jobtide_controller.telemetry import logs
from jobtide_controller.telemetry.events import Emit, Started, Stopping, Subscriber, to_all
from jobtide_controller.telemetry.health import Health
from jobtide_controller.telemetry.metrics import GaugeCollector, Metrics

# Kubernetes waits longer; a user who deletes the pod should not have to.
HAND_OVER_SECONDS = 1.5


async def run(settings: Settings, stop: asyncio.Event | None = None) -> int:
    """Runs until SIGTERM, SIGINT or `stop`, with exit code 0; 1 if a part that the controller needs ended by itself."""
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
    """The parts that run, or must be closed."""

    settings: Settings
    emit: Emit
    elector: Elector
    queue: WriteQueue
    relister: Relister
    watch: Watch
    causes: Causes
    loops: Loops
    health: Health
    databases: dict[str, Database]
    filled: asyncio.Event
    page: Page | None

    async def run(self, stop: asyncio.Event) -> int:
        """Runs until `stop` is set or a part ends, then hands over; returns the exit code, 1 if a part ended."""
        settings = self.settings
        server, port = await self.health.serve(settings.http_port)
        configured = tuple(DatabaseUrls(settings.databases_dir).names())
        page_port = None if self.page is None else self.page.start()
        self.emit(Started(__version__, settings.namespaces, configured, settings.pod_name, port, page_port))
        work = asyncio.create_task(self._work(), name="work")
        asked = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        failure = work.exception() if work.done() else None
        self.emit(Stopping("on request" if failure is None else _words(failure), failed=failure is not None))
        asked.cancel()
        await _cancel(work)
        await self._hand_over()
        if self.page is not None:
            await self.page.close()
        await asyncio.to_thread(server.close)
        return 0 if failure is None else 1

    async def _work(self) -> None:
        """Nothing is decided, and no lease taken, before the cluster is known."""
        await self.relister.fill()
        self.filled.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.watch.run(), name="watch")
            group.create_task(self.relister.run(self.settings.resync_seconds), name="relist")
            group.create_task(self.causes.run(), name="causes")
            group.create_task(self.elector.run(), name="lease")
            group.create_task(self.loops.run(), name="loops")

    async def _hand_over(self) -> None:
        """Lets writes in flight end, then lets another controller take over; both within two seconds."""
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
    """Connects all parts of the controller; starts nothing, and sends no request."""
    subscribers: list[Subscriber] = [logs.on_event]
    emit = to_all(subscribers)

    inventory = Inventory(emit, settings.database_namespaces)
    elector = Elector(api, emit, namespace=settings.namespace, name=settings.lease_name, identity=settings.pod_name)
    window = Window()
    writer = Writer(api, emit, leading=elector.held, window=window)
    queue = WriteQueue(emit, window)
    terms = Terms(elector.term, lambda: KubeWrites(inventory, writer, queue))
    metrics = Metrics(GaugeCollector(terms.pool_gauges, terms.database_gauges))
    recorder = EventRecorder(writer, emit, submit=queue.submit, instance=settings.pod_name)
    subscribers += [metrics, recorder]
    relister = Relister(api, inventory, settings.namespaces, emit)
    workers = PodWorkers(inventory, relister.pod_uids)
    pipeline = Pipeline(inventory.pools, workers, Reporter(emit))

    urls = DatabaseUrls(settings.databases_dir)
    limits = Limits(statement_seconds=settings.read_timeout_seconds, depth_cap=settings.depth_cap)
    databases: dict[str, Database] = {}

    def new_loop(name: str) -> DatabaseLoop:
        database = databases[name] = Database(name, urls, limits)
        return DatabaseLoop(
            database,
            inventory.pools,
            pipeline,
            Rescuer(database, workers, emit),
            terms,
            emit=emit,
            connections=settings.connection_budgets.get(name),
            shows_tenants=name in settings.show_tenants,
            usable=lambda namespace: [known for known in urls.names() if inventory.may_use(known, namespace)],
            interval=Interval(settings.tick_min_seconds, max_seconds=settings.tick_max_seconds),
        )

    loops = Loops(inventory.pools.databases, new_loop, lambda name: databases.pop(name).close())
    filled = asyncio.Event()
    health = Health(loops.beats, filled.is_set, metrics, monotonic=time.monotonic)
    watch = Watch(inventory, settings.namespaces, emit, on_gap=relister.soon)
    causes = Causes(api, inventory, emit, leading=elector.held)
    page = None
    if settings.page_enabled:

        def snapshot() -> Snapshot:
            return take(inventory.pools, terms.current, elector.leader, time.time())

        place = Place(settings.page_port, path=settings.page_path)
        page = Page(place, snapshot, ClusterReviews(api), DatabaseUrls(settings.operators_dir), emit)
    return Controller(settings, emit, elector, queue, relister, watch, causes, loops, health, databases, filled, page)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _words(failure: BaseException) -> str:
    """A group of one failure is that failure."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return f"{type(failure).__name__}: {failure}"
