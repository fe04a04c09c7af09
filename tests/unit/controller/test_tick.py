"""The loop of one database, with a scripted source of readings and an applier that works at once."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.demand import Blindness, Depth, Key, PodRun, Reading, Unreadable
from jobtide_controller.instrument import DatabaseFound, DatabaseLost, Decided, Failed, Ticked
from jobtide_controller.kube.client import ApiError
from jobtide_controller.kube.inventory import Inventory
from jobtide_controller.kube.pace import Pace
from jobtide_controller.kube.queue import WriteQueue
from jobtide_controller.kube.status import StatusWriter
from jobtide_controller.kube.writer import Writer
from jobtide_controller.pipeline import Pipeline
from jobtide_controller.report import Reporter
from jobtide_controller.tick import DatabaseLoop, Interval
from tests.unit.kube.objects import Clock, Events, ScriptedApi, deployment, pod, pool, refused, settle, version


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

    async def rest(self):
        self.rested += 1


class Orphans:
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

    async def converge(self, uid, replicas, fleet):
        fleet()
        if self.error is not None:
            raise self.error
        name = self.inventory.pools.get(uid).ref.name
        self.applied.append((name, replicas))
        self.inventory.upsert_deployment(deployment(name, uid=f"d-{name}", replicas=replicas))

    def forget(self, uid): ...


class Board:
    def __init__(self) -> None:
        self.outcomes = {}

    def put_pool(self, outcome):
        self.outcomes[outcome.entry.ref.name] = outcome

    def drop_pool(self, uid):
        self.outcomes = {name: o for name, o in self.outcomes.items() if o.entry.uid != uid}


class World:
    def __init__(self) -> None:
        self.clock, self.events, self.leading = Clock(), Events(), True
        self.inventory = Inventory(self.events)
        self.source, self.orphans, self.board = Source(), Orphans(), Board()
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
            leading=lambda: self.leading, wall_clock=self.clock, monotonic=self.clock,
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


@pytest.fixture
def world():
    return World()


def blind(reason=Blindness.UNREACHABLE, message="connection refused"):
    return Unreadable(reason, message, 1000.0)


async def test_a_new_pool_gets_its_deployment_and_a_status(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    await world.tick()
    assert world.applier.applied == [("thumbs", 1)]
    assert world.statuses[0]["desiredReplicas"] == 1


async def test_waiting_jobs_scale_in_the_tick_that_reads_them(world):
    world.inventory.upsert_pool(pool())
    await world.tick()
    world.due(count=8)
    await world.tick()
    assert world.applier.applied == [("thumbs", 0), ("thumbs", 2)]
    assert [(event.before, event.after) for event in world.events.of(Decided)] == [(0, 2)]


async def test_one_reading_a_tick_for_all_pools(world):
    for number in range(50):
        world.inventory.upsert_pool(pool(f"p{number}", types=[f"a{number}", "shared"]))
    await world.tick()
    assert len(world.source.asked) == 1
    assert len(world.source.asked[0]) == 51


async def test_pools_of_another_database_are_left_to_their_own_loop(world):
    world.inventory.upsert_pool(pool("here", minReplicas=1))
    world.inventory.upsert_pool(pool("there", database="other", minReplicas=1))
    await world.tick()
    assert world.source.asked == [["here"]]
    assert world.applier.applied == [("here", 1)]


async def test_without_pools_nothing_is_read(world):
    assert await world.tick() == 5.0
    assert world.source.asked == []


async def test_an_unreadable_database_holds_the_fleet_and_says_why(world):
    world.inventory.upsert_pool(pool())
    world.due(count=40)
    await world.tick()
    before = list(world.applier.applied)
    world.source.blind, world.source.depths = blind(), {}
    await world.tick(60, times=20)
    assert world.applier.applied == before
    conditions = {condition["type"]: condition for condition in world.statuses[-1]["conditions"]}
    assert conditions["DatabaseReachable"]["status"] == "False"
    assert "connection refused" in conditions["DatabaseReachable"]["message"]


async def test_an_outage_is_told_once_and_so_is_its_end(world):
    world.inventory.upsert_pool(pool())
    await world.tick()
    world.source.blind = blind()
    await world.tick(1, times=5)
    world.source.blind = None
    await world.tick(1)
    assert len(world.events.of(DatabaseLost)) == 1
    assert [event.away_seconds for event in world.events.of(DatabaseFound)] == [None, pytest.approx(6.2)]


async def test_a_database_that_is_away_is_asked_less_and_less_often(world):
    world.inventory.upsert_pool(pool())
    world.source.blind = blind()
    pauses = [await world.tick() for _ in range(8)]
    assert pauses[0] <= 0.4
    assert 2.5 <= pauses[-1] <= 5


async def test_pools_at_rest_are_not_looked_at(world):
    for number in range(20):
        world.inventory.upsert_pool(pool(f"p{number}"))
    await world.until_at_rest()
    looked, ticks = world.applier.looked, len(world.source.asked)
    await world.tick(0.2, times=100)
    assert world.applier.looked == looked
    assert len(world.source.asked) == ticks + 100


async def test_a_pool_at_rest_wakes_for_jobs_of_its_types_alone(world):
    world.inventory.upsert_pool(pool("a"))
    world.inventory.upsert_pool(pool("b"))
    await world.until_at_rest()
    world.applier.applied.clear()
    world.due("b", count=8)
    await world.tick()
    assert world.applier.applied == [("b", 2)]


async def test_a_pool_at_rest_wakes_when_the_watch_saw_it_change(world):
    world.inventory.upsert_pool(pool())
    await world.until_at_rest()
    world.inventory.upsert_pool(pool(generation=2, minReplicas=3))
    await world.tick()
    assert world.applier.applied[-1] == ("thumbs", 3)


async def test_somebody_elses_number_of_replicas_is_put_right(world):
    world.inventory.upsert_pool(pool(minReplicas=2))
    await world.until_at_rest()
    world.inventory.upsert_deployment(deployment("thumbs", uid="d-thumbs", replicas=9))
    await world.tick(120, times=3)
    assert world.applier.applied[-1] == ("thumbs", 2)


async def test_a_pool_that_comes_to_rest_has_told_its_last_numbers(world):
    world.inventory.upsert_pool(pool())
    world.due(count=3)
    await world.tick()
    world.source.depths = {}
    await world.until_at_rest()
    assert world.statuses[-1]["pending"] == 0
    assert world.statuses[-1]["desiredReplicas"] == 0


async def test_long_rest_is_no_gap_in_what_was_seen(world):
    world.inventory.upsert_pool(pool())
    await world.until_at_rest()
    await world.tick(0.2, times=3)
    world.due(count=100, arrivals=100)
    await world.tick()
    history = world.pipeline._histories["uid-thumbs"]
    assert history.read_at == world.clock()
    assert sum(piece.rows for pieces in history.flow.values() for piece in pieces) == 100


async def test_the_loop_wakes_for_a_scheduled_job_early_by_a_pods_start(world):
    world.inventory.upsert_pool(pool())
    await world.tick()
    now = world.clock() + 0.2
    world.source.depths[Key("thumbs", "t")] = Depth(later=1, next_due_at=now + 10.15)
    pause = await world.tick()
    assert pause == pytest.approx(0.15)
    await world.tick(pause)
    assert world.applier.applied[-1] == ("thumbs", 1)


async def test_a_bug_with_one_pool_is_told_once_and_stops_no_other(world):
    world.applier.bug = ZeroDivisionError("tide")
    world.inventory.upsert_pool(pool("bug", minReplicas=1))
    world.inventory.upsert_pool(pool("good", minReplicas=1))
    await world.tick(times=10)
    assert world.applier.applied == [("good", 1)]
    (failed,) = world.events.of(Failed)
    assert failed.where == "pool media/bug"
    assert "tide" in failed.traceback


async def test_a_follower_reads_and_writes_nothing(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    world.leading = False
    await world.tick(times=5)
    assert world.source.asked == []
    assert world.applier.applied == []
    assert world.loop.ticked_at == world.clock(), "yet its loop turns"


async def test_a_new_leader_decides_for_every_pool(world):
    world.inventory.upsert_pool(pool())
    await world.until_at_rest()
    world.leading = False
    await world.tick()
    assert world.source.rested == 1
    world.leading = True
    looked = world.applier.looked
    await world.tick()
    assert world.applier.looked > looked


async def test_a_restarted_controller_remembers_what_its_status_says_of_the_types(world):
    status = {"types": [{"type": "thumbs", "learned": {"slotSeconds": 600.0, "jobs": 10.0}}]}
    world.inventory.upsert_pool(pool(status=status))
    await world.tick()
    assert world.pipeline._histories["uid-thumbs"].learned("thumbs").service_seconds > 50


async def test_a_deleted_pool_leaves_nothing_behind(world):
    world.inventory.upsert_pool(pool())
    world.due()
    await world.tick()
    world.inventory.forget_pool(pool())
    await world.tick()
    assert world.board.outcomes == {}
    assert world.pipeline._histories == {}
    assert await world.tick() == 5.0


async def test_a_refused_write_is_in_the_status_until_one_goes_through(world):
    world.inventory.upsert_pool(pool(minReplicas=1))
    world.applier.error = refused(403, "Forbidden")
    await world.tick(times=3)
    ready = {condition["type"]: condition for condition in world.statuses[-1]["conditions"]}["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "ApplyFailed")
    assert "refused with 403" in ready["message"]
    world.applier.error = None
    await world.tick(31, times=2)
    ready = {condition["type"]: condition for condition in world.statuses[-1]["conditions"]}["Ready"]
    assert ready["status"] == "True"


async def test_orphans_are_settled_beside_the_tick(world):
    world.inventory.upsert_pool(pool())
    await world.tick(times=3)
    assert len(world.orphans.settled) == 3
    world.source.blind = blind()
    await world.tick()
    assert len(world.orphans.settled) == 3


async def test_busy_pods_are_never_below_what_is_asked_for(world):
    world.inventory.upsert_pool(pool(maxReplicas=8))
    for number in range(3):
        world.inventory.upsert_pod(pod(f"p{number}", ready_at="2026-11-24T12:00:04Z"))
    world.inventory.upsert_deployment(deployment("thumbs", uid="d-thumbs", replicas=8))
    key = Key("thumbs", "t")
    world.source.depths[key] = Depth(running=3)
    world.source.pods = {f"uid-p{number}": PodRun({key: 1}) for number in range(3)}
    await world.tick(10, times=60)
    assert world.applier.applied[-1] == ("thumbs", 3)


async def test_each_tick_is_measured(world):
    world.inventory.upsert_pool(pool())
    world.due(count=1)
    await world.tick()
    (ticked,) = world.events.of(Ticked)
    assert (ticked.database, ticked.keys, ticked.pools) == ("main", 1, 1)


@pytest.mark.parametrize(
    ("cost_seconds", "pause"),
    [(0.0, 0.2), (0.002, 0.2), (0.01, 0.2), (0.05, 1.0), (0.2, 4.0), (3.0, 5.0)],
)
def test_reading_takes_at_most_a_twentieth_of_the_time(cost_seconds, pause):
    assert Interval().after(cost_seconds, 0) == pytest.approx(pause)


def test_a_stream_of_events_makes_readings_take_a_tenth_at_most():
    assert Interval().at_least(0.1) == pytest.approx(1.0)
    assert Interval().at_least(0.0) == 0.2
