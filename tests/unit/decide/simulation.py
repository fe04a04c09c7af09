"""Simulates a small cluster: jobs of one length, workers that take time to start, and the real decision."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet, Pod
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import Depth, Reading
from jobtide_controller.decide.scaling import Decision, decide
from tests.unit.decide.builders import NOW, A, spec

START_SECONDS = 5.0


@dataclass
class Worker:
    """Times are seconds since the epoch."""

    number: int
    ready_at: float
    free_at: list[float]  # of each slot

    def running(self, now: float) -> int:
        """Number of jobs that run at `now`."""
        return sum(end > now for end in self.free_at) if self.ready_at <= now else 0


@dataclass
class Simulation:
    """One tick is one second; jobs arrive evenly within it, and the least busy worker claims them."""

    policy: JobWorkerPoolSpec
    job_seconds: float
    history: History = field(default_factory=History)
    now: float = NOW
    replicas: int | None = 0
    workers: list[Worker] = field(default_factory=list)
    queue: deque[float] = field(default_factory=deque)  # arrival time of each waiting job
    waits: list[float] = field(default_factory=list)  # seconds that each started job waited
    decided: list[int] = field(default_factory=list)  # replicas, by tick
    arrivals_due: float = 0.0  # fraction of a job that has not arrived yet
    workers_made: int = 0
    busy_stopped: int = 0

    def run(self, seconds: int, jobs_per_second: float = 0.0) -> Simulation:
        """Simulates so many ticks with this rate of arrivals."""
        for _ in range(seconds):
            arrivals = self._arrive(jobs_per_second)
            self.now += 1
            self._work()
            self._scale(self._decide(arrivals))
        return self

    @property
    def last_change(self) -> int:
        """The tick in which the number of replicas changed for the last time."""
        changes = [tick for tick in range(1, len(self.decided)) if self.decided[tick] != self.decided[tick - 1]]
        return changes[-1] if changes else 0

    def _arrive(self, jobs_per_second: float) -> int:
        self.arrivals_due += jobs_per_second
        count = int(self.arrivals_due)
        self.arrivals_due -= count
        self.queue.extend(self.now + index / count for index in range(count))
        return count

    def _work(self) -> None:
        """Claims in order; the slot that has been free for longest gets the job, which spreads the load."""
        ready = [worker for worker in self.workers if worker.ready_at <= self.now]
        while self.queue and ready:
            worker = min(ready, key=lambda candidate: min(candidate.free_at))
            free_at = min(worker.free_at)
            start = max(free_at, self.queue[0])
            if start > self.now:
                return
            worker.free_at[worker.free_at.index(free_at)] = start + self.job_seconds
            self.waits.append(start - self.queue.popleft())

    def _decide(self, arrivals: int) -> Decision:
        ages = [self.now - arrived_at for arrived_at in self.queue]
        running = sum(worker.running(self.now) for worker in self.workers)
        depth = Depth(
            due=len(ages),
            running=running,
            oldest_age_seconds=max(ages, default=0.0),
            mean_age_seconds=sum(ages) / len(ages) if ages else 0.0,
            arrivals=arrivals,
        )
        depths = {A: depth} if depth.due or depth.running or depth.arrivals else {}
        decision = decide(self.policy, Reading(self.now, depths), self._fleet(), self.history, self.now)
        self.history = decision.history
        return decision

    def _fleet(self) -> Fleet:
        pods = [
            Pod(str(w.number), str(w.number), w.ready_at - START_SECONDS, ready=w.ready_at <= self.now)
            for w in self.workers
        ]
        busy = frozenset(str(w.number) for w in self.workers if w.running(self.now))
        return Fleet(current_replicas=self.replicas, pods=tuple(pods), busy_uids=busy, start_seconds=START_SECONDS)

    def _scale(self, decision: Decision) -> None:
        self.replicas = decision.replicas
        self.decided.append(decision.replicas)
        while len(self.workers) < decision.replicas:
            self.workers_made += 1
            ready_at = self.now + START_SECONDS
            self.workers.append(Worker(self.workers_made, ready_at, [ready_at] * self.policy.concurrency))
        idle_first = sorted(self.workers, key=lambda worker: (worker.running(self.now), -worker.ready_at))
        for worker in idle_first[: len(self.workers) - decision.replicas]:
            self.busy_stopped += worker.running(self.now) > 0
            self.workers.remove(worker)


def simulate(job_seconds: float, **fields: Any) -> Simulation:
    """A simulation of a pool with these fields of its spec; by default 30 s of waiting and 40 replicas at most."""
    return Simulation(spec(**{"maxWaitSeconds": 30, "maxReplicas": 40, **fields}), job_seconds)
