"""One pool's worker processes: as many as decided, of the newest revision, as a Deployment keeps its pods.

A new revision starts new workers before it stops old ones, a quarter of them at a time, so that there are never fewer
than needed. A worker that fails is replaced at once the first time, then after a pause that doubles.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jobtide.backoff import full_backoff_seconds
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.fleet import Fleet, Pod, Rollout
from jobtide_controller.decide.scale_down import plan
from jobtide_controller.embedded.lines import readable
from jobtide_controller.embedded.process import NotStartedError, Process, free_port, is_ready
from jobtide_controller.loop.ports import GoneWorker
from jobtide_controller.render.deployment import grace_seconds

STARTING_PROBE_SECONDS = 0.1
PROBE_SECONDS = 2.0  # as the readiness probe of a pod
FAILED_PROBES = 3
CRASHES_TO_A_LOOP = 2
CRASH_MAX_SECONDS = 30.0
STEADY_SECONDS = 60.0  # a worker that lived this long has not failed at its start
OUTPUT_SECONDS = 1.0  # for the last lines of a process that ended
PROBLEM_CHARACTERS = 300


@dataclass(slots=True, eq=False)
class Worker:
    """One worker: a process, or one that waits to start. Times are seconds since the epoch."""

    uid: str
    name: str
    revision: int
    crashes: int = 0  # in a row, of those that it replaces; its own too once it ended
    why: str = ""  # how the last of them ended
    created_at: float = field(default_factory=time.time)
    ready_at: float | None = None
    is_ready: bool = False
    is_waiting: bool = False
    is_stopping: bool = False
    process: Process | None = None
    grace_seconds: int = 0  # between SIGTERM and SIGKILL
    last_line: str = ""
    task: asyncio.Task[None] | None = None
    kill: asyncio.TimerHandle | None = None

    @property
    def pod(self) -> Pod:
        is_loop = self.crashes >= CRASHES_TO_A_LOOP and not self.is_ready
        return Pod(
            self.uid,
            self.name,
            self.created_at,
            ready=self.is_ready,
            ready_at=self.ready_at,
            terminating=self.is_stopping,
            problem=f"CrashLoopBackOff: {self.why}" if is_loop else None,
        )


class Surroundings(Protocol):
    """What a crew needs of the others."""

    def pool(self) -> JobWorkerPool | None:
        """As its user wrote it last; None: it was deleted."""
        ...

    def new_uid(self) -> str: ...

    def launch(self, pool: JobWorkerPool, worker: Worker, port: int) -> Awaitable[Process]:
        """Starts the process, which serves its probes on this port. Raises NotStartedError."""
        ...

    def changed(self) -> None:
        """A worker started, became ready, or ended."""
        ...

    def gone(self, worker: Worker, gone: GoneWorker) -> None:
        """A worker's process has ended."""
        ...

    def started(self, seconds: float) -> None:
        """A worker became ready for the first time, this long after its creation."""
        ...

    def say(self, name: str, line: str) -> None:
        """A worker's line of output, or a sentence about it."""
        ...


class Crew:
    """`scale` and `renew` say what should be; each event of a worker brings the processes closer to it."""

    def __init__(self, around: Surroundings) -> None:
        self.replicas: int | None = None  # None: not decided yet
        self.failure: str | None = None  # why the last start of a process was refused
        self.workers: dict[str, Worker] = {}
        self._around = around
        self._revision = 0
        self._fleet: Callable[[], Fleet] = Fleet

    def scale(self, replicas: int, fleet: Callable[[], Fleet]) -> None:
        """From now on `replicas` workers. `fleet` says which are busy when some are chosen to stop."""
        self.replicas, self._fleet = replicas, fleet
        self.converge()

    def renew(self) -> None:
        """The code of the application has changed: every worker is replaced."""
        self._revision += 1
        self.failure = None
        self.converge()

    @property
    def rollout(self) -> Rollout:
        return Rollout(complete=not self._old())

    def converge(self) -> None:
        """Starts what is missing and stops what is too much."""
        pool = self._around.pool()
        replicas = 0 if pool is None else self.replicas
        if replicas is None:
            return
        new, old = self._new(), self._old()
        self._keep(new, replicas)
        self._keep(old, max(0, replicas - sum(worker.is_ready for worker in new)))
        # After that: what was stopped above makes room.
        surge = -(-replicas // 4) if self._old() else 0
        room = replicas + surge - len(self._present())
        for _ in range(min(replicas - len(self._new()), room)):
            self._start()

    def hurry(self) -> None:
        """Workers that drain return their jobs and end at once."""
        for worker in self.workers.values():
            if worker.process is not None:
                worker.process.terminate()

    def kill(self) -> None:
        """Ends all processes at once; their jobs return when they are rescued."""
        for worker in list(self.workers.values()):
            if worker.process is not None:
                worker.process.kill()

    def _present(self) -> list[Worker]:
        return [worker for worker in self.workers.values() if not worker.is_stopping]

    def _new(self) -> list[Worker]:
        return [worker for worker in self._present() if worker.revision == self._revision]

    def _old(self) -> list[Worker]:
        return [worker for worker in self._present() if worker.revision != self._revision]

    def _start(self, crashes: int = 0, why: str = "") -> None:
        pool = self._around.pool()
        assert pool is not None  # or no worker is missing
        uid = self._around.new_uid()
        worker = Worker(uid, f"{pool.metadata.name}-{uid[-5:]}", self._revision, crashes, why)
        self.workers[uid] = worker
        worker.task = asyncio.create_task(self._live(worker), name=f"worker {worker.name}")
        self._around.changed()

    def _keep(self, workers: Sequence[Worker], count: int) -> None:
        """Stops all but `count` of these: idle ones first, then the youngest. A busy one finishes its jobs."""
        surplus = len(workers) - count
        if surplus <= 0:
            return
        busy = self._fleet().busy_uids
        order = plan(Fleet(pods=tuple(worker.pod for worker in workers), busy_uids=busy), count).order
        idle = [worker for name in order for worker in workers if worker.name == name]
        others = sorted((worker for worker in workers if worker not in idle), key=lambda one: -one.created_at)
        for worker in (*idle, *others)[:surplus]:
            self._stop(worker)

    def _stop(self, worker: Worker) -> None:
        worker.is_stopping = True
        if worker.is_waiting:
            assert worker.task is not None
            worker.task.cancel()
            del self.workers[worker.uid]
        elif worker.process is not None:
            self._terminate(worker, worker.process)
        self._around.changed()

    @staticmethod
    def _terminate(worker: Worker, process: Process) -> None:
        process.terminate()
        worker.kill = asyncio.get_running_loop().call_later(worker.grace_seconds, process.kill)

    async def _live(self, worker: Worker) -> None:
        """From the decision to start a worker until it is replaced."""
        if pause := _pause_seconds(worker.crashes):
            worker.is_waiting = True
            await asyncio.sleep(pause)
            worker.is_waiting = False
            worker.created_at = time.time()
        pool, port = self._around.pool(), free_port()
        if pool is None or worker.is_stopping:
            self._replace(worker, crashed=False)
            return
        worker.grace_seconds = grace_seconds(pool)
        try:
            process = worker.process = await self._around.launch(pool, worker, port)
        except NotStartedError as error:
            worker.why = f"no worker can start: {error}"
            if self.failure != worker.why:
                self._around.say(worker.name, worker.why)
            self.failure = worker.why
            _count_crash(worker)
            self._replace(worker, crashed=True)
            return
        self.failure = None
        self._around.changed()
        if worker.is_stopping:
            self._terminate(worker, process)
        await self._accompany(worker, process, port)

    async def _accompany(self, worker: Worker, process: Process, port: int) -> None:
        output = asyncio.create_task(self._pass_on(worker, process))
        probe = asyncio.create_task(self._probe(worker, port))
        code = await process.wait()
        probe.cancel()
        await asyncio.wait({output}, timeout=OUTPUT_SECONDS)
        output.cancel()
        if worker.kill is not None:
            worker.kill.cancel()
        crashed = code != 0 and not worker.is_stopping
        self._around.gone(worker, GoneWorker(gives_back=not crashed))
        if crashed:
            _count_crash(worker)
            pause = _pause_seconds(worker.crashes)
            when = f"in {pause:g} s" if pause else "now"
            self._around.say(worker.name, f"{_words_of(code)}; the next one starts {when}")
            worker.why = f"worker {worker.name} {_words_of(code)}: {worker.last_line}"[:PROBLEM_CHARACTERS]
        elif code != 0 and worker.ready_at is not None:
            self._around.say(worker.name, _words_of(code))
        self._replace(worker, crashed=crashed)

    def _replace(self, worker: Worker, *, crashed: bool) -> None:
        """The worker is no more: another one takes its place, if one is needed."""
        del self.workers[worker.uid]
        if crashed:
            is_missing = worker.revision == self._revision and len(self._new()) < (self.replicas or 0)
            if is_missing and self._around.pool() is not None:
                self._start(worker.crashes, worker.why)
        self.converge()
        self._around.changed()

    async def _pass_on(self, worker: Worker, process: Process) -> None:
        async for line in process.lines():
            if line.strip():
                text = readable(line.rstrip())
                worker.last_line = text.partition("\n")[0]
                self._around.say(worker.name, text)

    async def _probe(self, worker: Worker, port: int) -> None:
        failed = 0
        while True:
            failed = 0 if await is_ready(port) else failed + 1
            if worker.is_ready != (ready := not failed or (worker.is_ready and failed < FAILED_PROBES)):
                self._note_ready(worker, is_ready=ready)
            await asyncio.sleep(STARTING_PROBE_SECONDS if worker.ready_at is None else PROBE_SECONDS)

    def _note_ready(self, worker: Worker, *, is_ready: bool) -> None:
        worker.is_ready = is_ready
        if is_ready and worker.ready_at is None:
            worker.ready_at = time.time()
            self._around.started(worker.ready_at - worker.created_at)
        self.converge()
        self._around.changed()


def _count_crash(worker: Worker) -> None:
    worker.crashes = 1 if time.time() - worker.created_at > STEADY_SECONDS else worker.crashes + 1


def _words_of(code: int) -> str:
    return f"exited with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"


def _pause_seconds(crashes: int) -> float:
    """0 s, 1 s, 2 s, 4 s, ..., CRASH_MAX_SECONDS."""
    return 0.0 if crashes <= 1 else full_backoff_seconds(crashes - 1, base_seconds=1.0, max_seconds=CRASH_MAX_SECONDS)
