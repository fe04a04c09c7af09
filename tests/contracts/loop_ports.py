"""What every implementation of the loop's ports must do, as contracts to inherit from.

An implementation's test class inherits a contract and has a fixture `world`: a driver that acts as users and the
platform would, and offers the port. Times are bounds to wait for a condition, never pauses.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.retention import Batch, is_set
from jobtide_controller.loop.ports import (
    GoneWorker,
    HeldUpError,
    Pools,
    Presence,
    Scaler,
    Scaling,
    Source,
    Workers,
    Writes,
)

DAY = 86_400
NO_WORKERS = Fleet(current_replicas=0)
DONE = Scaling(is_due=False)
NEVER_SEEN = "0f0f0f0f-0000-4000-8000-000000000000"
OUTSIDE = "local-12ab34cd"


class PoolsWorld(Protocol):
    pools: Pools

    async def put(self, name: str, **spec: Any) -> str:
        """Creates or changes a pool as its user does; its UID, once the port shows the change."""
        ...

    async def delete(self, name: str) -> None: ...


class PoolsContract:
    """Which pools there are, and which of them changed."""

    async def test_a_pool_is_found_by_uid_database_and_type(self, world: PoolsWorld) -> None:
        uid = await world.put("a", types=["x", "y"])
        entry = world.pools.get(uid)
        assert entry is not None
        assert (entry.uid, entry.ref.name, entry.database, entry.types) == (uid, "a", "main", ("x", "y"))
        assert entry.pool.spec.types == ("x", "y")
        assert world.pools.databases() == {"main"}
        assert set(world.pools.of_database("main")) == {uid}
        assert sorted(world.pools.types("main")) == ["x", "y"]
        assert world.pools.of_type("main", "x") == {uid}

    async def test_the_lowest_limit_of_a_types_tenants_is_that_of_all_pools(self, world: PoolsWorld) -> None:
        await world.put("a", types=["x", "y"], tenants={"maxConcurrent": 8, "overrides": {NEVER_SEEN: 64}})
        await world.put("b", types=["y"], tenants={"overrides": {NEVER_SEEN: 2}})
        await world.put("c", types=["y", "z"])
        assert world.pools.least_limits("main") == {"x": 8, "y": 2}
        await world.put("b", types=["y"])
        assert world.pools.least_limits("main") == {"x": 8, "y": 8}
        await world.delete("a")
        assert world.pools.least_limits("main") == {}

    async def test_a_pool_says_how_long_ended_jobs_stay(self, world: PoolsWorld) -> None:
        entry = world.pools.get(await world.put("a"))
        assert entry is not None
        assert not is_set(entry.retention)
        entry = world.pools.get(await world.put("a", retention={"completedSeconds": DAY}))
        assert entry is not None
        assert (entry.retention.completed_seconds, entry.retention.failed_seconds) == (DAY, None)

    async def test_a_deleted_pool_is_nowhere(self, world: PoolsWorld) -> None:
        uid = await world.put("a", types=["x"])
        await world.delete("a")
        assert world.pools.get(uid) is None
        assert world.pools.databases() == set()
        assert (list(world.pools.of_database("main")), world.pools.types("main")) == ([], [])
        assert world.pools.of_type("main", "x") == set()

    async def test_a_type_that_two_pools_handle_is_an_overlap_of_both(self, world: PoolsWorld) -> None:
        a, b = await world.put("a", types=["x"]), await world.put("b", types=["x", "y"])
        assert world.pools.of_type("main", "x") == {a, b}
        (overlap,) = world.pools.overlaps(a)
        assert (overlap.type, len(overlap.pools)) == ("x", 1)
        assert overlap.pools[0].endswith("/b")
        assert [one.type for one in world.pools.overlaps(b)] == ["x"]

    async def test_each_change_is_taken_once(self, world: PoolsWorld) -> None:
        uid = await world.put("a")
        assert world.pools.take_changed("main") == {uid}
        assert world.pools.take_changed("main") == set()
        await world.put("a", maxReplicas=3)
        assert world.pools.take_changed("main") == {uid}

    async def test_a_change_ends_the_wait(self, world: PoolsWorld) -> None:
        waiting = asyncio.create_task(world.pools.wait_for_change("main", 60))
        await world.put("a")
        await asyncio.wait_for(waiting, 5)

    async def test_the_wait_ends_without_a_change(self, world: PoolsWorld) -> None:
        await asyncio.wait_for(world.pools.wait_for_change("main", 0.01), 5)


class DeletionWorld(Protocol):
    source: Source

    async def put(self, type_: str, status: str, *, ended_days: float, created_days: float | None = None) -> None:
        """Puts a job of this type into the table; it ended so long ago, and was created at that time unless said."""
        ...

    async def left(self) -> list[tuple[str, str]]:
        """Type and status of the jobs that are in the table, sorted."""
        ...

    def locked(self) -> AbstractAsyncContextManager[None]:
        """Another client holds all rows."""
        ...


class DeletionContract:
    """Which jobs a batch deletes."""

    async def test_ended_jobs_of_the_status_and_the_types_are_deleted_when_they_are_old_enough(
        self, world: DeletionWorld
    ) -> None:
        for status in ("pending", "processing", "completed", "failed"):
            await world.put("old", status, ended_days=10)
        await world.put("young", "completed", ended_days=1)
        await world.put("kept", "completed", ended_days=100)
        done = await world.source.delete_ended(Batch("completed", {"old": 7 * DAY, "young": 7 * DAY}, None, 100, 200))
        assert (done.until, done.found, done.rows, done.oldest_left) == (None, 1, {"old": 1}, {})
        assert await world.left() == sorted(
            [
                ("kept", "completed"),
                ("young", "completed"),
                ("old", "failed"),
                ("old", "pending"),
                ("old", "processing"),
            ]
        )

    async def test_a_job_counts_from_its_end_and_is_reported_as_left(self, world: DeletionWorld) -> None:
        await world.put("a", "failed", ended_days=1, created_days=30)
        done = await world.source.delete_ended(Batch("failed", {"a": 7 * DAY}, None, 100, 200))
        assert (done.found, done.rows, list(done.oldest_left)) == (0, {}, ["a"])
        assert abs(time.time() - 30 * DAY - done.oldest_left["a"]) < 600
        assert await world.left() == [("a", "failed")]

    async def test_each_type_has_its_own_time(self, world: DeletionWorld) -> None:
        await world.put("short", "completed", ended_days=10)
        await world.put("long", "completed", ended_days=10)
        done = await world.source.delete_ended(Batch("completed", {"short": DAY, "long": 30 * DAY}, None, 100, 200))
        assert done.rows == {"short": 1}
        assert list(done.oldest_left) == ["long"]

    async def test_batches_go_on_from_where_the_last_one_ended(self, world: DeletionWorld) -> None:
        for days in range(10, 17):
            await world.put("kept" if days % 2 else "a", "completed", ended_days=days)
        after, found, batches = None, 0, 0
        while batches == 0 or after is not None:
            done = await world.source.delete_ended(Batch("completed", {"a": DAY}, after, 2, 4))
            after, found, batches = done.until, found + done.found, batches + 1
        assert (found, batches) == (4, 4)
        assert await world.left() == [("kept", "completed")] * 3

    async def test_a_batch_that_may_delete_nothing_only_finds_its_end(self, world: DeletionWorld) -> None:
        for days in (10, 11):
            await world.put("a", "completed", ended_days=days)
        done = await world.source.delete_ended(Batch("completed", {"a": DAY}, None, 1, 0))
        assert (done.found, done.rows) == (0, {})
        assert done.until is not None
        assert len(await world.left()) == 2

    async def test_a_locked_row_is_not_waited_for(self, world: DeletionWorld) -> None:
        await world.put("a", "completed", ended_days=10)
        batch = Batch("completed", {"a": DAY}, None, 100, 200)
        async with world.locked():
            started = time.monotonic()
            with pytest.raises(HeldUpError):
                await world.source.delete_ended(batch)
            assert time.monotonic() - started < 5
            assert (await world.source.delete_ended(batch._replace(most=0))).found == 0
        assert (await world.source.delete_ended(batch)).rows == {"a": 1}


class WorkersWorld(Protocol):
    workers: Workers

    async def pool(self, name: str) -> str:
        """Creates a pool; its UID."""
        ...

    async def start(self, pool: str, *, ready: bool = True) -> str:
        """Starts a worker of this pool; its UID, once the port shows it."""
        ...

    async def stop(self, uid: str, *, crashed: bool = False) -> None:
        """Ends a worker as a drain does, or as a crash of its own; returns once the port shows it."""
        ...


class WorkersContract:
    """Which workers exist, and which are gone."""

    async def test_a_fleet_has_the_pools_own_workers(self, world: WorkersWorld) -> None:
        mine, other = await world.pool("mine"), await world.pool("other")
        uid = await world.start("mine")
        await world.start("mine", ready=False)
        fleet = world.workers.fleet(mine, frozenset())
        assert (len(fleet.pods), fleet.ready, fleet.busy) == (2, 1, 0)
        assert uid in {pod.uid for pod in fleet.pods}
        assert world.workers.fleet(other, frozenset()).pods == ()

    async def test_workers_with_a_claim_are_busy(self, world: WorkersWorld) -> None:
        mine = await world.pool("mine")
        busy, _ = await world.start("mine"), await world.start("mine")
        assert world.workers.fleet(mine, {busy, NEVER_SEEN}).busy == 1

    async def test_a_pool_that_does_not_exist_has_no_workers(self, world: WorkersWorld) -> None:
        fleet = world.workers.fleet("no-such-pool", frozenset())
        assert (fleet.pods, fleet.current_replicas) == ((), None)

    async def test_a_worker_that_ended_is_gone_and_gives_its_jobs_back_unless_it_crashed(
        self, world: WorkersWorld
    ) -> None:
        mine = await world.pool("mine")
        drained, crashed, alive = [await world.start("mine") for _ in range(3)]
        await world.stop(drained)
        await world.stop(crashed, crashed=True)
        assert world.workers.presence_of(drained) == GoneWorker(gives_back=True)
        assert world.workers.presence_of(crashed) == GoneWorker(gives_back=False)
        assert world.workers.presence_of(alive) is Presence.ALIVE
        assert [pod.uid for pod in world.workers.fleet(mine, frozenset()).pods if not pod.finished] == [alive]

    async def test_a_worker_that_was_never_seen_is_unknown_and_one_of_another_kind_is_outside(
        self, world: WorkersWorld
    ) -> None:
        assert world.workers.presence_of(NEVER_SEEN) is Presence.UNKNOWN
        assert world.workers.presence_of(OUTSIDE) is Presence.OUTSIDE

    async def test_the_list_has_the_workers_that_exist(self, world: WorkersWorld) -> None:
        await world.pool("mine")
        gone, alive = await world.start("mine"), await world.start("mine")
        await world.stop(gone)
        listed = await world.workers.list_uids()
        assert alive in listed
        assert gone not in listed


class WritesWorld(Protocol):
    writes: Writes

    async def pool(self, name: str, **spec: Any) -> str:
        """Creates or changes a pool as its user does; its UID."""
        ...

    async def written(self) -> None:
        """Returns when nothing is under way any more and the port shows the result."""
        ...

    async def replicas(self, name: str) -> int | None:
        """How many workers the pool should have, as the platform has it; None: never written."""
        ...

    async def status(self, name: str) -> dict[str, Any] | None:
        """The pool's status, as its user sees it."""
        ...


class SharedWorld(WritesWorld, Protocol):
    async def block(self, name: str) -> None:
        """Has another owner hold what the pool would manage."""
        ...


async def scaled(world: WritesWorld, scaler: Scaler, replicas: int) -> Scaling:
    """Scales until nothing is to do; the last answer."""
    for _ in range(10):
        scaling = scaler.scale(replicas, lambda: NO_WORKERS)
        await world.written()
        if not scaling.is_due or scaler.failure is not None:
            return scaling
    raise AssertionError("it does not come to an end")


class WritesContract:
    """Make it N, and write a status."""

    async def test_a_pool_gets_as_many_workers_as_decided(self, world: WritesWorld) -> None:
        scaler = world.writes.scaler(await world.pool("a"))
        for replicas in (0, 3, 1, 0):
            assert await scaled(world, scaler, replicas) == DONE
            assert await world.replicas("a") == replicas

    async def test_what_is_as_decided_is_not_written_again(self, world: WritesWorld) -> None:
        scaler = world.writes.scaler(await world.pool("a"))
        await scaled(world, scaler, 2)
        assert scaler.scale(2, lambda: NO_WORKERS) == DONE

    async def test_a_second_term_finds_what_the_first_one_made(self, world: WritesWorld) -> None:
        uid = await world.pool("a")
        await scaled(world, world.writes.scaler(uid), 2)
        assert world.writes.scaler(uid).scale(2, lambda: NO_WORKERS) == DONE

    async def test_the_latest_decision_wins(self, world: WritesWorld) -> None:
        scaler = world.writes.scaler(await world.pool("a"))
        for replicas in (5, 1, 4):
            scaler.scale(replicas, lambda: NO_WORKERS)
        await scaled(world, scaler, 4)
        assert await world.replicas("a") == 4

    async def test_a_status_is_what_its_user_sees(self, world: WritesWorld, entry_of: Any) -> None:
        uid = await world.pool("a")
        for pending in (7, 8):
            world.writes.tell_status(entry_of(uid), {"pending": pending})
            await world.written()
        status = await world.status("a")
        assert status is not None
        assert status["pending"] == 8

    async def test_a_write_of_a_deleted_pool_is_dropped(self, world: WritesWorld) -> None:
        scaler = world.writes.scaler("no-such-pool")
        assert scaler.scale(3, lambda: NO_WORKERS) == DONE
        assert scaler.failure is None


class ConflictsContract:
    """Where what a pool manages may belong to another owner."""

    async def test_what_another_owner_holds_is_a_conflict_and_is_left_alone(self, world: SharedWorld) -> None:
        await world.block("a")
        scaler = world.writes.scaler(await world.pool("a"))
        await scaled(world, scaler, 2)
        assert scaler.failure is not None
        assert scaler.failure.is_conflict
