"""The deletion of ended jobs beside the ticks: when it begins, waits, ends and reports."""

from __future__ import annotations

import asyncio

import pytest

from jobtide_controller.decide.retention import Deleted, rest_seconds
from jobtide_controller.loop.ports import DeletionFailedError, HeldUpError
from jobtide_controller.loop.retention import Deleter
from jobtide_controller.telemetry.events import DeletionFailed, EndedDeleted
from tests.unit.kube.objects import pool, settle
from tests.unit.loop.world import Source, World, unreadable

DAY = 86_400
WEEK = {"completedSeconds": 7 * DAY}


class DeletingSource(Source):
    """Has these numbers of completed rows in its batches; each statement takes 0.03 s."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = []
        self.script: list[int | Exception] = []

    async def delete_ended(self, batch):
        self.batches.append(batch)
        self.clock.pass_(0.03)
        rows = self.script.pop(0) if self.script else 0
        if isinstance(rows, Exception):
            raise rows
        until = 1_000.0 + len(self.batches) if self.script else None
        return Deleted(until, rows, {"thumbs": rows} if rows else {}, {}, 0.03)


@pytest.fixture
def world():
    made = World(source=DeletingSource())
    made.rests = []

    async def sleep(seconds):
        made.rests.append(seconds)
        made.clock.pass_(seconds)
        await asyncio.sleep(0)

    made.loop._deleter = Deleter(
        made.source, made.inventory.pools, made.events, wall_clock=made.clock, monotonic=made.clock, sleep=sleep
    )
    return made


def retention_of(world, name="thumbs"):
    return world.inventory.pools.get(f"uid-{name}").status.get("retention")


async def passed(world):
    """One tick, and the pass that it began to its end; then a tick that writes the statuses."""
    await world.tick()
    while world.loop._deleter.is_running:
        await settle()
    await world.tick(10)


async def test_nothing_is_deleted_unless_a_pool_says_so(world):
    world.inventory.upsert_pool(pool())
    await passed(world)
    assert world.source.batches == []
    assert retention_of(world) is None


async def test_a_pass_deletes_in_batches_with_rests_and_its_pool_shows_it(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.source.script = [300, 200, 7]
    await passed(world)
    assert [batch.seconds for batch in world.source.batches] == [{"thumbs": 7 * DAY}] * 3
    assert world.rests == [pytest.approx(rest_seconds(0.03))] * 3
    assert [event.jobs for event in world.events.of(EndedDeleted)] == [300, 200, 7]
    shown = retention_of(world)
    assert shown["deleted"] == 507
    assert shown["time"]
    assert shown["message"] == ""


async def test_the_next_pass_begins_after_a_pause_and_an_equal_result_is_not_written_again(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    await passed(world)
    await world.until_idle()
    first, written = len(world.source.batches), len(world.statuses)
    await world.tick(60)
    assert not world.loop._deleter.is_running
    await world.tick(300)
    await passed(world)
    assert len(world.source.batches) > first
    assert len(world.statuses) == written


async def test_a_changed_retention_takes_effect_at_once(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    await passed(world)
    world.source.batches.clear()
    world.inventory.upsert_pool(pool(retention={"failedSeconds": DAY}, generation=2))
    await passed(world)
    assert [(batch.status, batch.seconds) for batch in world.source.batches] == [("failed", {"thumbs": DAY})]


async def test_a_retention_that_is_removed_ends_the_pass_that_runs(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.loop._deleter._sleep = lambda _: asyncio.Event().wait()
    world.source.script = [1] * 9
    await world.tick()
    await settle()
    assert world.loop._deleter.is_running
    world.inventory.upsert_pool(pool(generation=2))
    await world.tick()
    assert not world.loop._deleter.is_running
    assert len(world.source.batches) == 1


async def test_a_pool_whose_jobs_another_pool_keeps_says_so(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.inventory.upsert_pool(pool("other", types=["thumbs"]))
    await passed(world)
    assert world.source.batches == []
    assert "another pool of the database handles it too, and keeps its jobs longer" in retention_of(world)["message"]
    assert retention_of(world, "other") is None


@pytest.mark.parametrize("trouble", ["slow", "away"])
async def test_it_waits_while_the_database_is_slow_or_away(world, trouble):
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.source.script = [1, 1, 1]
    resting = asyncio.Event()
    world.loop._deleter._sleep = lambda _: resting.wait()
    await world.tick()
    await settle()
    assert len(world.source.batches) == 1
    if trouble == "slow":
        world.source.cost_seconds = 2.0
    else:
        world.source.failure = unreadable()
    await world.tick()
    resting.set()
    resting.clear()
    await settle()
    assert len(world.source.batches) == 1
    world.source.cost_seconds, world.source.failure = 0.001, None
    await world.tick(5)
    resting.set()
    await settle()
    assert len(world.source.batches) == 3


async def test_it_ends_with_the_term(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.source.script = [1] * 9
    world.loop._deleter._sleep = lambda _: asyncio.Event().wait()
    await world.tick()
    await settle()
    world.lose_the_lease()
    await world.tick()
    assert not world.loop._deleter.is_running
    assert len(world.source.batches) == 1


async def test_no_batch_is_deleted_in_a_term_that_is_over(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    await passed(world)
    before = len(world.source.batches)
    await world.loop._deleter.run_pass(world.database, lambda: False)
    assert len(world.source.batches) == before


async def test_what_the_server_refuses_is_reported_once_and_tried_again(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.source.script = [DeletionFailedError("permission denied: run jobtide schema apply --roles")] * 9
    await passed(world)
    assert retention_of(world)["message"] == "permission denied: run jobtide schema apply --roles"
    await world.tick(60)
    await passed(world)
    assert len(world.source.batches) >= 2
    assert len(world.events.of(DeletionFailed)) == 1


async def test_locked_rows_do_not_stop_the_pass(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.source.script = [*[HeldUpError("locked")] * 4, 0, 3]
    await passed(world)
    assert [(batch.rows, batch.most) for batch in world.source.batches] == [
        (200, 400), (100, 200), (50, 100), (25, 50), (25, 0), (25, 50),
    ]  # fmt: skip
    assert retention_of(world)["deleted"] == 3


async def test_a_pool_that_may_not_use_the_database_learns_nothing(world):
    world.inventory._namespaces = {"main": ("media",)}
    foreign = pool("foreign", types=["thumbs"], retention=WEEK)
    foreign["metadata"]["namespace"] = "elsewhere"
    world.inventory.upsert_pool(foreign)
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.source.script = [DeletionFailedError("role secret may not")]
    await passed(world)
    assert retention_of(world)["message"] == "role secret may not"
    assert retention_of(world, "foreign") is None


async def test_a_new_pass_waits_for_the_statement_of_the_one_that_was_stopped(world):
    """Their connection runs one statement at a time."""
    running, answer = [], asyncio.Event()

    async def delete_ended(batch):
        running.append(batch)
        await answer.wait()
        return Deleted(None, 0, {}, {}, 0.03)

    world.source.delete_ended = delete_ended
    world.inventory.upsert_pool(pool(retention=WEEK))
    await world.tick()
    world.inventory.upsert_pool(pool(retention={"completedSeconds": DAY}, generation=2))
    await world.tick(5, times=3)
    assert [batch.seconds for batch in running] == [{"thumbs": 7 * DAY}]
    answer.set()
    await world.tick(5, times=2)
    assert [batch.seconds for batch in running] == [{"thumbs": 7 * DAY}, {"thumbs": DAY}]


async def test_a_new_leader_keeps_the_last_pass_in_the_status_until_its_own(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.source.script = [300]
    await passed(world)
    before = retention_of(world)
    world.lose_the_lease()
    await world.tick()
    world.take_the_lease()
    world.loop._deleter._sleep = lambda _: asyncio.Event().wait()
    await world.tick(10, times=2)
    assert retention_of(world) == before
    world.loop._deleter.stop()


async def test_a_pool_that_becomes_refused_protects_its_jobs(world):
    """It kept them: which types it has is not known any more."""
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.inventory.upsert_pool(pool("keeps", types=["thumbs"]))
    await passed(world)
    world.inventory.upsert_pool(pool("keeps", types=["a\0b"], generation=2))
    await world.tick(1_000, times=2)
    assert world.inventory.pools.get("uid-keeps").refusal is not None
    assert world.source.batches == []
    assert retention_of(world)["message"].startswith("a pool of the database can't be used")


async def test_a_refused_pool_of_a_namespace_that_may_not_use_the_database_stops_no_deletion(world):
    world.inventory._namespaces = {"main": ("media",)}
    foreign = pool("foreign", types=["a\0b"])
    foreign["metadata"]["namespace"] = "elsewhere"
    world.inventory.upsert_pool(foreign)
    world.inventory.upsert_pool(pool(retention=WEEK))
    await passed(world)
    assert [batch.seconds for batch in world.source.batches] == [{"thumbs": 7 * DAY}]


def complete_at(world):
    return world.database.gauges.retention_complete_at


async def test_a_complete_pass_is_known_by_its_end(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    before = world.clock.now
    await passed(world)
    assert complete_at(world) > before


async def test_a_pass_that_fails_leaves_the_time_of_the_last_complete_one(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    world.source.script = [DeletionFailedError("permission denied")]
    await world.tick()
    began = complete_at(world)
    await passed(world)
    assert complete_at(world) == began


async def test_where_all_jobs_stay_no_pass_is_awaited(world):
    world.inventory.upsert_pool(pool())
    await passed(world)
    assert complete_at(world) is None
    world.clock.pass_(30 * DAY)
    world.inventory.upsert_pool(pool(retention=WEEK, generation=2))
    await world.tick()
    assert complete_at(world) == world.clock.now


async def test_a_pool_that_cannot_be_used_stops_the_passes_and_their_time(world):
    world.inventory.upsert_pool(pool(retention=WEEK))
    await passed(world)
    last = complete_at(world)
    world.inventory.upsert_pool(pool("broken", types=["a\0b"]))
    await world.tick(1_000, times=9)
    assert complete_at(world) == last
