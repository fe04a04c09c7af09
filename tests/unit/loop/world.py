"""The loop of one database, with a scripted source of readings and an applier that works at once."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.reading import UnreadableReason, Depth, Key, PodRun, Reading, Unreadable
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.rate_limit import Pace
from jobtide_controller.kube.write.status_writer import StatusWriter
from jobtide_controller.kube.write.work_queue import WriteQueue
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.loop.budget import Budget
from jobtide_controller.loop.database_loop import DatabaseLoop
from jobtide_controller.loop.pipeline import Pipeline
from jobtide_controller.loop.report import Reporter
from tests.unit.kube.objects import Clock, Events, ScriptedApi, deployment, settle, version


class Source:
    name = "main"
    warnings: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.answers: list[Reading | Unreadable] = []
        self.depths: dict[Key, Depth] = {}
        self.pods: dict[str, PodRun] = {}
        self.asked: list[list[str]] = []
        self.blind: Unreadable | None = None
        self.cost_seconds = 0.001
        self.rested = 0

    async def read(self, types):
        self.asked.append(list(types))
        if self.blind is not None:
            return self.blind
        return Reading(self.clock(), dict(self.depths), dict(self.pods), self.cost_seconds)

    async def rescue(self, gives_back):
        return {}

    async def disconnect(self):
        self.rested += 1


class Rescuer:
    def __init__(self) -> None:
        self.settled: list[Reading] = []

    async def settle(self, reading) -> None:
        self.settled.append(reading)


class Applier:
    """Does at once what is wished for, through the inventory, as the API server's answers would."""

    def __init__(self, inventory) -> None:
        self.inventory = inventory
        self.applied: list[tuple[str, int]] = []
        self.error: ApiError | None = None
        self.bug: Exception | None = None
        self.looked = 0

    def is_due(self, entry, replicas):
        self.looked += 1
        if self.bug is not None and entry.ref.name == "bug":
            raise self.bug
        current = self.inventory.deployment(entry.uid)
        return current is None or current.replicas != replicas

    def is_quiet(self, uid):
        return True

    async def converge(self, uid, replicas, fleet):
        fleet()
        if self.error is not None:
            raise self.error
        name = self.inventory.pools.get(uid).ref.name
        self.applied.append((name, replicas))
        self.inventory.upsert_deployment(deployment(name, uid=f"d-{name}", replicas=replicas))

    def forget(self, uid): ...


class PoolGauges:
    def __init__(self) -> None:
        self.outcomes = {}

    def put_pool(self, outcome):
        self.outcomes[outcome.entry.ref.name] = outcome

    def drop_pool(self, uid):
        self.outcomes = {name: o for name, o in self.outcomes.items() if o.entry.uid != uid}


class World:
    def __init__(self, *, source=None, connections: int | None = None) -> None:
        self.clock, self.events, self.leading = Clock(), Events(), True
        self.inventory = Inventory(self.events)
        self.source, self.orphans, self.board = source or Source(), Rescuer(), PoolGauges()
        self.source.clock = self.clock
        self.applier = Applier(self.inventory)
        self.statuses = []
        api = ScriptedApi(self._status)
        writer = Writer(api, self.events, leading=lambda: self.leading, pace=Pace(monotonic=self.clock))
        self.queue = WriteQueue(self.events, monotonic=self.clock)
        statuses = StatusWriter(self.inventory, writer, self.queue, monotonic=self.clock)
        reporter = Reporter(statuses, self.events, wall_clock=self.clock)
        self.pipeline = Pipeline(self.inventory, self.applier, self.queue, reporter, self.board)
        self.loop = DatabaseLoop(
            self.source, self.inventory, self.pipeline, self.orphans, self.events,
            leading=lambda: self.leading, budget=Budget(connections), wall_clock=self.clock, monotonic=self.clock,
        )  # fmt: skip

    def _status(self, method, path, body):
        self.statuses.append(body["status"])
        metadata = {"uid": f"uid-{body['metadata']['name']}", "resourceVersion": str(version())}
        return {"metadata": metadata, "status": body["status"]}

    def due(self, type_="thumbs", count=8, **more):
        self.source.depths[Key(type_, "t")] = Depth(due=count, **more)

    async def tick(self, seconds=0.2, times=1):
        pause = 0.0
        for _ in range(times):
            self.clock.pass_(seconds)
            pause = await self.loop.run_once()
            await settle()
        return pause

    async def until_at_rest(self):
        for _ in range(200):
            before = self.applier.looked
            await self.tick(10)
            if self.applier.looked == before:
                return
        pytest.fail("the pools do not come to rest")


def blind(reason=UnreadableReason.UNREACHABLE, message="connection refused"):
    return Unreadable(reason, message, 1000.0)
