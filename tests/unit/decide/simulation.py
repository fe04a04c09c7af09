"""A small cluster in closed loop: jobs of one length, workers that take time to start, the real decision."""

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
    number: int
    ready_at: float
    free_at: list[float]  # of each slot

    def running(self, now: float) -> int:
        return sum(end > now for end in self.free_at) if self.ready_at <= now else 0


@dataclass
class Simulation:
    """One tick is one second; jobs come evenly within it and are claimed by the least busy worker."""

    policy: JobWorkerPoolSpec
    job_seconds: float
    history: History = field(default_factory=History)
    now: float = NOW
    want: int | None = 0
    workers: list[Worker] = field(default_factory=list)
    queue: deque[float] = field(default_factory=deque)  # when each waiting job came
    waits: list[float] = field(default_factory=list)
    wants: list[int] = field(default_factory=list)
    owed: float = 0.0
    made: int = 0
    busy_stopped: int = 0

    def run(self, seconds: int, jobs_per_second: float = 0.0) -> Simulation:
        for _ in range(seconds):
            arrivals = self._arrive(jobs_per_second)
            self.now += 1
            self._work()
            self._scale(self._decide(arrivals))
        return self

    @property
    def last_change(self) -> int:
        """Ticks until the number of workers changed for the last time."""
        changes = [tick for tick in range(1, len(self.wants)) if self.wants[tick] != self.wants[tick - 1]]
        return changes[-1] if changes else 0

    def _arrive(self, jobs_per_second: float) -> int:
        self.owed += jobs_per_second
        count = int(self.owed)
        self.owed -= count
        self.queue.extend(self.now + index / count for index in range(count))
        return count

    def _work(self) -> None:
        """Claims in order; the slot that has been free for longest takes the job, so that the load spreads."""
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
        ages = [self.now - came for came in self.queue]
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
        return Fleet(current_replicas=self.want, pods=tuple(pods), busy_uids=busy, start_seconds=START_SECONDS)

    def _scale(self, decision: Decision) -> None:
        self.want = decision.replicas
        self.wants.append(decision.replicas)
        while len(self.workers) < decision.replicas:
            self.made += 1
            ready_at = self.now + START_SECONDS
            self.workers.append(Worker(self.made, ready_at, [ready_at] * self.policy.concurrency))
        idle_first = sorted(self.workers, key=lambda worker: (worker.running(self.now), -worker.ready_at))
        for worker in idle_first[: len(self.workers) - decision.replicas]:
            self.busy_stopped += worker.running(self.now) > 0
            self.workers.remove(worker)


def simulate(job_seconds: float, **fields: Any) -> Simulation:
    return Simulation(spec(**{"maxWaitSeconds": 30, "maxReplicas": 40, **fields}), job_seconds)
