"""The loop's port Workers over processes of this machine: which of them run, and which are gone."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from typing import Protocol

from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.fleet import Fleet, Rollout
from jobtide_controller.embedded.crew import Crew, Worker
from jobtide_controller.embedded.process import Process
from jobtide_controller.loop.pools import Pools
from jobtide_controller.loop.ports import GoneWorker, Presence
from jobtide_controller.loop.start_times import StartTimes
from jobtide_controller.loop.tombstones import Tombstones

Launch = Callable[[JobWorkerPool, Worker, int], Awaitable[Process]]


class Watcher(Protocol):
    """The part of the guard that the workers need."""

    def watch(self, groups: AbstractSet[int], /) -> None: ...


class LocalWorkers:
    """All workers of this session, by pool. `owner`: eight hexadecimal digits, with which their UIDs begin.

    A worker whose UID begins otherwise belongs to a cluster or to another folder: its end is not seen from here.
    """

    def __init__(
        self, pools: Pools, launch: Launch, guard: Watcher, say: Callable[[str, str], None], *, owner: str
    ) -> None:
        self.say = say
        self.launch = launch
        self._pools = pools
        self._guard = guard
        self._owner = owner
        self._crews: dict[str, Crew] = {}
        self._gone: Tombstones[GoneWorker] = Tombstones()
        self._starts: StartTimes[str] = StartTimes()
        self._empty = asyncio.Event()

    def fleet(self, pool_uid: str, busy_uids: AbstractSet[str]) -> Fleet:
        crew = self._crews.get(pool_uid)
        if self._pools.get(pool_uid) is None or crew is None:
            return Fleet()
        return Fleet(
            current_replicas=crew.replicas,
            pods=tuple(worker.pod for worker in crew.workers.values()),
            busy_uids=frozenset(busy_uids),
            start_seconds=self._starts.median(pool_uid),
            start_known=self._starts.is_known(pool_uid),
        )

    def rollout(self, pool_uid: str) -> Rollout:
        crew = self._crews.get(pool_uid)
        return Rollout() if crew is None else crew.rollout

    def presence_of(self, worker_uid: str) -> GoneWorker | Presence:
        gone = self._gone.get(worker_uid)
        if gone is not None:
            return gone
        if any(worker_uid in crew.workers for crew in self._crews.values()):
            return Presence.ALIVE
        return Presence.UNKNOWN if worker_uid.startswith(self._owner) else Presence.OUTSIDE

    async def list_uids(self) -> set[str]:
        return {uid for crew in self._crews.values() for uid in crew.workers}

    def crew(self, pool_uid: str) -> Crew:
        """The pool's crew; a new one without workers if there is none."""
        if pool_uid not in self._crews:
            self._crews[pool_uid] = Crew(_Place(self, pool_uid))
        return self._crews[pool_uid]

    def renew(self) -> None:
        """The application has changed: the workers of all pools are replaced."""
        for crew in self._crews.values():
            crew.renew()

    def stop(self) -> None:
        """Asks all workers to drain, and starts no more."""
        for crew in self._crews.values():
            crew.scale(0, Fleet)

    def hurry(self) -> None:
        """Workers that drain return their jobs and end at once."""
        for crew in self._crews.values():
            crew.hurry()

    def kill(self) -> None:
        """Ends all workers as a crash does."""
        for crew in self._crews.values():
            crew.kill()

    @property
    def count(self) -> int:
        return sum(len(crew.workers) for crew in self._crews.values())

    async def ended(self) -> None:
        """Returns when no worker is left."""
        if self.count:
            await self._empty.wait()

    # What a crew calls.

    def pool(self, uid: str) -> JobWorkerPool | None:
        entry = self._pools.get(uid)
        return None if entry is None else entry.pool

    def new_uid(self) -> str:
        return self._owner + str(uuid.uuid4())[len(self._owner) :]

    def changed(self, pool_uid: str) -> None:
        """The guard knows the processes that run, and the loop looks at the pool."""
        crews = self._crews.values()
        processes = (worker.process for crew in crews for worker in crew.workers.values())
        self._guard.watch({process.pid for process in processes if process is not None})
        self._pools.mark(pool_uid)
        (self._empty.clear if self.count else self._empty.set)()

    def gone(self, worker: Worker, gone: GoneWorker) -> None:
        self._gone.add(worker.uid, gone)

    def started(self, pool_uid: str, seconds: float) -> None:
        self._starts.add(pool_uid, seconds)


class _Place:
    """One crew's surroundings."""

    def __init__(self, workers: LocalWorkers, pool_uid: str) -> None:
        self._workers = workers
        self._uid = pool_uid
        self.new_uid = workers.new_uid
        self.launch = workers.launch
        self.gone = workers.gone
        self.say = workers.say

    def pool(self) -> JobWorkerPool | None:
        return self._workers.pool(self._uid)

    def changed(self) -> None:
        self._workers.changed(self._uid)

    def started(self, seconds: float) -> None:
        self._workers.started(self._uid, seconds)
