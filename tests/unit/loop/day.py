"""A day of one controller in some seconds: real parts on a clock of their own, tenants, pods and pools that come and
go, and what all of it keeps in memory.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from uuid import UUID

from jobtide_controller.decide.limits import Kept
from jobtide_controller.decide.reading import Depth, Key, PodRun, Reading
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.inventory.workers import PodWorkers
from jobtide_controller.kube.write.events import EventRecorder
from jobtide_controller.kube.write.scaler import KubeWrites
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import WriteQueue
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.loop.database_loop import DatabaseLoop
from jobtide_controller.loop.pipeline import Pipeline
from jobtide_controller.loop.report import Reporter
from jobtide_controller.loop.rescuer import Rescuer
from jobtide_controller.loop.term import Terms
from jobtide_controller.telemetry.events import Subscriber, to_all
from jobtide_controller.telemetry.metrics import GaugeCollector, Metrics
from tests.unit.kube.objects import Clock, Raw, ScriptedApi, deployment, pod, pool, refused, settle, version

TICK_SECONDS = 20.0  # learning starts again after longer gaps
STAY_TICKS = 3  # of a pod, and of a tenant's jobs
POOLS = ("steady", "capped", "edited")


class Table:
    """Every tick brings a new tenant to each type, and one pod that this controller never saw."""

    name = "main"
    warnings: tuple[str, ...] = ()
    hears_jobs = False
    kept = Kept(is_stored=True)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.number = 0
        self.pods: deque[str] = deque(maxlen=STAY_TICKS)
        self.strangers: deque[str] = deque(maxlen=STAY_TICKS)

    async def read(self, types, least_limits):
        pods = {uid: PodRun({Key("steady", "t"): 1}) for uid in (*self.pods, *self.strangers)}
        return Reading(self._clock(), dict(self._depths(types)), pods, 0.001)

    def _depths(self, types) -> Iterator[tuple[Key, Depth]]:
        for type_ in types:
            for age in range(STAY_TICKS):
                due = 5 * (STAY_TICKS - age)
                depth = Depth(due=due, running=age, oldest_age_seconds=age * TICK_SECONDS, arrivals=5)
                yield Key(type_, str(UUID(int=self.number - age + STAY_TICKS))), depth

    async def look_at_table(self):
        return self.table

    async def keep_limits(self, changed, gone):
        return self.kept

    async def rescue(self, gives_back):
        for uid in set(self.strangers) & gives_back.keys():
            self.strangers.remove(uid)
        return dict.fromkeys(gives_back, 1)

    async def disconnect(self): ...


class Day:
    def __init__(self) -> None:
        self.clock = Clock()
        self.deployments: dict[str, Raw] = {}
        self._pods: deque[list[tuple[str, str]]] = deque()
        subscribers: list[Subscriber] = []
        emit = to_all(subscribers)
        self.inventory = Inventory(emit)
        api = ScriptedApi(self._answer, deque(maxlen=1))
        window = Window(monotonic=self.clock)
        writer = Writer(api, emit, leading=lambda: True, window=window)
        queue = WriteQueue(emit, window, monotonic=self.clock)
        subscribers.append(EventRecorder(writer, emit, submit=queue.submit, instance="day", monotonic=self.clock))
        terms = Terms(lambda: 1, lambda: KubeWrites(self.inventory, writer, queue, monotonic=self.clock))
        subscribers.append(Metrics(GaugeCollector(terms.pool_gauges, terms.database_gauges)))
        reporter = Reporter(emit, wall_clock=self.clock, monotonic=self.clock)
        workers = PodWorkers(self.inventory, self._pod_uids)
        self.table = Table(self.clock)
        self.loop = DatabaseLoop(
            self.table, self.inventory.pools, Pipeline(self.inventory.pools, workers, reporter),
            Rescuer(self.table, workers, emit, monotonic=self.clock), terms,
            emit=emit, wall_clock=self.clock, monotonic=self.clock,
        )  # fmt: skip
        self._parts = (self.loop, subscribers)

    async def run(self, ticks: int) -> None:
        for number in itertools.islice(itertools.count(self.table.number), ticks):
            self.table.number = number + 1
            self._churn(number)
            self.clock.pass_(TICK_SECONDS)
            await self.loop.run_once()
            await settle()

    def stores(self) -> Counter[str]:
        """What is kept, by class and attribute."""
        return stores(self._parts)

    def _churn(self, number: int) -> None:
        if number == 0:
            for name in POOLS:
                tenants = {"maxConcurrent": 3} if name == "capped" else {}
                self.inventory.upsert_pool(pool(name, tenants=tenants))
        if number % 100 == 0:
            self.inventory.upsert_pool(pool("edited", generation=number + 2, types=["edited", f"edit-{number}"]))
        self._pool_that_goes(number)
        self._pods_that_go(number)
        self.table.strangers.append(str(UUID(int=10**9 + number)))

    def _pool_that_goes(self, number: int) -> None:
        name = f"short-{number // 20}"
        if number % 20 == 0:
            self.inventory.upsert_pool(pool(name))
        if number % 20 == 10:
            self.inventory.forget_pool(pool(name))
            for raw in [raw for raw in self.deployments.values() if raw["metadata"]["name"] == f"{name}-worker"]:
                self.inventory.forget_deployment(self.deployments.pop(raw["metadata"]["uid"]))

    def _pods_that_go(self, number: int) -> None:
        """The last ones of a short-lived pool get ready when it is gone."""
        owners = (*POOLS, f"short-{number // 20}")
        if number >= STAY_TICKS:
            for of, name in self._pods.popleft():
                if number % 7 == 0:
                    self.inventory.upsert_pod(pod(name, of=of, phase="Failed"))
                self.inventory.forget_pod(pod(name, of=of))
        self._pods.append([(of, f"{of}-{number}") for of in owners])
        for of, name in self._pods[-1]:
            self.inventory.upsert_pod(pod(name, of=of, ready_at="2026-11-24T12:00:03Z"))
        self.table.pods.append(f"uid-steady-{number}")

    async def _pod_uids(self) -> set[str]:
        """One stranger in ten is a pod of this cluster."""
        return {uid for uid in self.table.strangers if int(UUID(uid)) % 10 == 0}

    def _answer(self, method: str, path: str, body: Raw | None) -> Raw:
        if path.endswith("/events"):
            return {}
        if path.endswith("/status"):
            assert body is not None
            uid = f"uid-{body['metadata']['name']}"
            return {"metadata": {"uid": uid, "resourceVersion": str(version())}, "status": body["status"]}
        name = path.removesuffix("/scale").rpartition("/")[2].removesuffix("-worker")
        known = self.deployments.get(f"d-{name}")
        if method == "GET" and known is None:
            raise refused(404)
        if method == "PATCH" and body is not None:
            spec, annotations = body["spec"], body["metadata"].get("annotations", {})
            before = {"replicas": 1, "hash": None} if known is None else known["kept"]
            kept = {
                "replicas": spec.get("replicas", before["replicas"]),
                "hash": annotations.get("jobtide.dev/template-hash", before["hash"]),
            }
            made = deployment(name, uid=f"d-{name}", replicas=kept["replicas"], template_hash=kept["hash"])
            known = self.deployments[f"d-{name}"] = {**made, "kept": kept}
        assert known is not None
        return known


def stores(root: object) -> Counter[str]:
    """The sizes of all containers that these objects keep, summed by class and attribute."""
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        name, found = waiting.pop()
        if id(found) in seen or isinstance(found, (str, bytes, type)):
            continue
        seen.add(id(found))
        if isinstance(found, Mapping):
            sizes[name] += len(found)
            waiting += [(name, inner) for pair in list(found.items()) for inner in pair]
        elif isinstance(found, Collection):
            sizes[name] += len(found)
            waiting += [(name, inner) for inner in list(found)]
        elif type(found).__module__.startswith(("jobtide_controller", "prometheus_client")):
            waiting += [(f"{type(found).__name__}.{attribute}", inner) for attribute, inner in _attributes(found)]
    return sizes


def _attributes(found: Any) -> Iterator[tuple[str, object]]:
    slots = {name for kind in type(found).__mro__ for name in getattr(kind, "__slots__", ())}
    for name in slots | vars(found).keys() if hasattr(found, "__dict__") else slots:
        if hasattr(found, name):
            yield name, getattr(found, name)
