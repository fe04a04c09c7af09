"""The loop's ports over processes of this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.embedded import pools as local_pools
from jobtide_controller.embedded.launch import Launcher
from jobtide_controller.embedded.process import Guard, Process
from jobtide_controller.embedded.scaler import LocalWrites
from jobtide_controller.embedded.workers import LocalWorkers
from jobtide_controller.loop.changes import Changes
from jobtide_controller.loop.pools import Pools
from tests.contracts.loop_ports import NEVER_SEEN, NO_WORKERS, PoolsContract, WorkersContract, WritesContract

TEMPLATE = {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]}}


class Machine:
    """A user of `jobtide dev` and its workers, which are real; signals come from outside, as the kernel sends them."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.program: list[str] | None = None  # instead of a worker
        self._documents: dict[str, JobWorkerPool] = {}
        self._guard = Guard()
        self.said: list[str] = []
        self.pools = Pools(Changes())
        self.workers = LocalWorkers(
            self.pools, self._launch, self._guard, lambda _, line: self.said.append(line), owner=NEVER_SEEN[:8]
        )
        self.writes = LocalWrites(self.pools, self.workers)

    async def put(self, name, **spec):
        self._documents[name] = JobWorkerPool.model_validate(
            {
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"types": ["echo"], "template": TEMPLATE, **spec},
            }
        )
        local_pools.follow(self.pools, self._documents.values())
        return f"default/{name}"

    async def delete(self, name):
        del self._documents[name]
        local_pools.follow(self.pools, self._documents.values())

    async def pool(self, name, **spec):
        return await self.put(name, **spec)

    async def start(self, pool, *, ready=True):
        if not ready:
            self.program = self.program or ["sleep", "600"]  # it answers no probe
        crew = self.workers.crew(f"default/{pool}")
        before = set(crew.workers)
        crew.scale((crew.replicas or 0) + 1, lambda: NO_WORKERS)
        (uid,) = crew.workers.keys() - before
        await until(lambda: crew.workers[uid].is_ready if ready else crew.workers[uid].process is not None)
        self.program = None
        return uid

    async def stop(self, uid, *, crashed=False):
        (crew,) = (crew for crew in self.workers._crews.values() if uid in crew.workers)
        crew.replicas -= 1  # the platform would start another
        os.kill(crew.workers[uid].process.pid, signal.SIGKILL if crashed else signal.SIGTERM)
        await until(lambda: uid not in crew.workers)

    async def written(self):
        """A decision takes effect at once."""

    async def replicas(self, name):
        return self.workers.crew(f"default/{name}").replicas

    async def status(self, name):
        return self.pools.get(f"default/{name}").status

    async def close(self):
        self.workers.stop()
        self.workers.kill()
        await self.workers.ended()
        self._guard.close()

    async def _launch(self, pool, worker, port):
        if self.program is None:
            return await self._launcher(pool, worker, port)
        return await Process.start(self.program, os.environ, self._launcher.directory)


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


@pytest.fixture
async def world(database: str, folder: Path) -> AsyncIterator[Machine]:
    machine = Machine(Launcher("acme.jobs:tide", database, folder, os.environ))
    yield machine
    await machine.close()


@pytest.fixture
def entry_of(world: Machine):
    return world.pools.get


class TestPools(PoolsContract): ...


class TestWorkers(WorkersContract): ...


class TestWrites(WritesContract): ...


async def test_a_worker_of_another_folder_or_cluster_is_outside(world):
    assert world.workers.presence_of("1e1e1e1e-0000-4000-8000-000000000000").value == "outside"


async def test_a_worker_that_stays_after_its_grace_period_is_killed_and_gives_its_jobs_back(world):
    await world.pool("a")
    world.program = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"]
    uid = await world.start("a", ready=False)
    await until(lambda: world.said)
    crew = world.workers.crew("default/a")
    crew.workers[uid].grace_seconds = 0.2
    crew.scale(0, lambda: NO_WORKERS)
    await until(lambda: uid not in crew.workers)
    assert world.workers.presence_of(uid).gives_back


async def test_what_a_worker_leaves_in_its_group_ends_with_it(world):
    await world.pool("a")
    world.program = ["sh", "-c", "sleep 600 & echo $!; wait"]
    uid = await world.start("a", ready=False)
    await until(lambda: world.said)
    child = psutil.Process(int(world.said[0]))
    await world.stop(uid, crashed=True)
    await until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_a_worker_that_fails_is_replaced_at_once_and_then_after_a_pause_with_its_last_words(world):
    await world.pool("a")
    world.program = ["sh", "-c", "echo no such module; exit 3"]
    crew = world.workers.crew("default/a")
    crew.scale(1, lambda: NO_WORKERS)
    await until(lambda: any(worker.is_waiting for worker in crew.workers.values()))
    (pod,) = world.workers.fleet("default/a", frozenset()).pods
    assert pod.problem.startswith("CrashLoopBackOff: worker a-")
    assert pod.problem.endswith("exited with 3: no such module")
    crew.scale(0, lambda: NO_WORKERS)
    assert world.workers.count == 0


async def test_a_new_revision_starts_workers_before_it_stops_old_ones(world):
    uid = await world.pool("a")
    old = await world.start("a")
    crew = world.workers.crew(uid)
    counts = []
    crew.renew()
    await until(lambda: counts.append(world.workers.fleet(uid, set()).ready) or old not in crew.workers)
    assert min(counts) == 1
    assert world.workers.rollout(uid).complete
    assert [pod.ready for pod in world.workers.fleet(uid, set()).pods] == [True]


async def test_a_new_revision_that_fails_keeps_the_old_workers(world):
    uid = await world.pool("a")
    old = await world.start("a")
    world.program = ["sh", "-c", "exit 1"]
    crew = world.workers.crew(uid)
    crew.renew()
    await until(lambda: any(worker.crashes >= 2 for worker in crew.workers.values()))
    assert crew.workers[old].is_ready
    assert not crew.workers[old].is_stopping
    assert not world.workers.rollout(uid).complete
    world.program = None
    crew.renew()
    await until(lambda: old not in crew.workers)
    assert world.workers.fleet(uid, set()).ready == 1


async def test_idle_workers_stop_first_and_a_busy_one_drains_only_if_all_must_go(world):
    uid = await world.pool("a")
    _, second, third = [await world.start("a") for _ in range(3)]
    crew = world.workers.crew(uid)
    crew.scale(2, lambda: world.workers.fleet(uid, {third}))
    assert [one for one, worker in crew.workers.items() if worker.is_stopping] == [second]  # the youngest idle one
    crew.scale(1, lambda: world.workers.fleet(uid, {third}))
    assert [one for one, worker in crew.workers.items() if not worker.is_stopping] == [third]
    crew.scale(0, lambda: world.workers.fleet(uid, {third}))
    assert all(worker.is_stopping for worker in crew.workers.values())
    await until(lambda: not crew.workers)


async def test_the_workers_of_a_deleted_pool_drain(world):
    uid = await world.pool("a")
    await world.start("a")
    await world.delete("a")
    world.writes.scaler(uid).close()
    await until(lambda: world.workers.count == 0)


async def test_a_program_that_is_not_there_is_why_the_pool_has_no_workers_until_the_code_changes(world):
    uid = await world.pool("a")
    scaler = world.writes.scaler(uid)
    world.program = ["/no/such/program"]
    scaler.scale(1, lambda: NO_WORKERS)
    await until(lambda: scaler.failure)
    assert scaler.failure.message == "no worker can start: [Errno 2] No such file or directory: '/no/such/program'"
    assert not scaler.failure.is_conflict
    world.program = None
    world.workers.renew()
    assert scaler.failure is None
    await until(lambda: world.workers.fleet(uid, set()).ready == 1)
