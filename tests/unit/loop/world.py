"""The loop of one database, with a scripted source of readings and an applier that works at once."""

from __future__ import annotations

import pytest

from jobtide.table_health import TableHealth
from jobtide_controller.decide.limits import Kept
from jobtide_controller.decide.reading import Depth, Key, PodRun, Reading, Unreadable, UnreadableReason
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.inventory.workers import PodWorkers
from jobtide_controller.kube.write.scaler import DeploymentScaler, KubeWrites
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import WriteQueue
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.loop.database_loop import DatabaseLoop
from jobtide_controller.loop.pipeline import Pipeline
from jobtide_controller.loop.report import Reporter
from jobtide_controller.loop.term import Terms
from tests.unit.kube.objects import Clock, Events, ScriptedApi, deployment, settle, version


class Source:
    name = "main"
    warnings: tuple[str, ...] = ()
    hears_jobs = False
    kept = Kept(is_stored=True)
    table = TableHealth(8192, 0, 0, 1.0, 50, None, ())

    def __init__(self) -> None:
        self.depths: dict[Key, Depth] = {}
        self.pods: dict[str, PodRun] = {}
        self.asked: list[list[str]] = []
        self.failure: Unreadable | None = None
        self.cost_seconds = 0.001
        self.disconnects = 0

    async def read(self, types, least_limits):
        self.asked.append(list(types))
        if self.failure is not None:
            return self.failure
        return Reading(self.clock(), dict(self.depths), dict(self.pods), self.cost_seconds)

    async def look_at_table(self):
        return self.table

    async def keep_limits(self, changed, gone):
        return self.kept

    async def rescue(self, gives_back):
        return {}

    async def disconnect(self):
        self.disconnects += 1


class Rescuer:
    def __init__(self) -> None:
        self.readings: list[Reading] = []

    async def rescue(self, reading) -> None:
        self.readings.append(reading)


class Applier:
    """Applies at once what is asked for, through the inventory, as the API server's answers would."""

    def __init__(self, world, uid) -> None:
        self.world, self.uid = world, uid

    def is_due(self, replicas):
        world = self.world
        world.looks += 1
        if world.bug is not None and world.inventory.pools.get(self.uid).ref.name == "bug":
            raise world.bug
        current = world.inventory.deployment(self.uid)
        return current is None or current.replicas != replicas

    def due_in_seconds(self):
        return None

    def close(self): ...

    async def converge(self, replicas, fleet):
        await self.world.converge(self.uid, replicas, fleet)


class ScriptedWrites(KubeWrites):
    """The writes of production, but for the applier."""

    def __init__(self, world, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.world = world

    def scaler(self, uid):
        return DeploymentScaler(Applier(self.world, uid), self.world.inventory, self.world.queue)


class World:
    def __init__(
        self, *, source=None, connections: int | None = None, namespaces=None, shows_tenants=True, configured=()
    ) -> None:
        self.clock, self.events, self.leading, self.number = Clock(), Events(), True, 1
        self.inventory = Inventory(self.events, namespaces or {})
        self.source, self.rescuer = source or Source(), Rescuer()
        self.source.clock = self.clock
        self.applied: list[tuple[str, int]] = []
        self.error: ApiError | None = None  # the API server's answer to every write of a Deployment
        self.refuses = lambda _uid: self.error
        self.bug: Exception | None = None
        self.looks = 0
        self.statuses = []
        self.api = ScriptedApi(self._status)
        window = Window()
        writer = Writer(self.api, self.events, leading=lambda: self.leading, window=window)
        self.queue = WriteQueue(self.events, window, monotonic=self.clock)
        self.begin = lambda: ScriptedWrites(self, self.inventory, writer, self.queue, monotonic=self.clock)
        self.terms = Terms(lambda: self.number if self.leading else None, lambda: self.begin())  # noqa: PLW0108 - tests replace `begin`
        workers = PodWorkers(self.inventory, self._no_pods)
        reporter = Reporter(self.events, wall_clock=self.clock, monotonic=self.clock)
        self.loop = DatabaseLoop(
            self.source, self.inventory.pools, Pipeline(self.inventory.pools, workers, reporter), self.rescuer,
            self.terms, emit=self.events, connections=connections, shows_tenants=shows_tenants,
            usable=lambda namespace: [name for name in configured if self.inventory.may_use(name, namespace)],
            wall_clock=self.clock, monotonic=self.clock,
        )  # fmt: skip

    async def converge(self, uid, replicas, fleet):
        """What the API server does with a write."""
        fleet()
        error = self.refuses(uid)
        if error is not None:
            raise error
        name = self.inventory.pools.get(uid).ref.name
        self.applied.append((name, replicas))
        self.inventory.upsert_deployment(deployment(name, uid=f"d-{name}", replicas=replicas))

    async def _no_pods(self):
        return set()

    def _status(self, method, path, body):
        self.statuses.append(body["status"])
        metadata = {"uid": f"uid-{body['metadata']['name']}", "resourceVersion": str(version())}
        return {"metadata": metadata, "status": body["status"]}

    @property
    def database(self):
        """What the term remembers of the database."""
        return self.terms.current.databases["main"]

    def state(self, name="thumbs"):
        """What the term remembers of one pool; None: nothing."""
        return self.database.pools.get(f"uid-{name}")

    def gauges(self):
        """What /metrics shows, by pool."""
        return {gauges.ref.name: gauges for gauges in self.terms.pool_gauges()}

    def lose_the_lease(self):
        self.leading = False

    def take_the_lease(self):
        self.leading, self.number = True, self.number + 1

    def due(self, type_="thumbs", count=8, **more):
        self.source.depths[Key(type_, "t")] = Depth(due=count, **more)

    async def tick(self, seconds=0.2, times=1):
        pause = 0.0
        for _ in range(times):
            self.clock.pass_(seconds)
            pause = await self.loop.run_once()
            await settle()
        return pause

    async def until_idle(self):
        for _ in range(200):
            before = self.looks
            await self.tick(10)
            if self.looks == before:
                return
        pytest.fail("the pools do not become idle")


def unreadable(reason=UnreadableReason.UNREACHABLE, message="connection refused"):
    return Unreadable(reason, message, 1000.0)
