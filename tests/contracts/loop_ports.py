"""What every implementation of the loop's ports must do, as contracts to inherit from.

An implementation's test class inherits a contract and has a fixture `world`: a driver that acts as users and the
platform would, and offers the port. Times are bounds to wait for a condition, never pauses.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.loop.ports import GoneWorker, Pools, Presence, Scaler, Scaling, Workers, Writes

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
