"""A simulated cluster: workers take time to start, their slots claim jobs of the tenants in rotation, jobs end.

Claims go to random workers, the worst case for finding idle workers to remove.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from math import inf
from random import Random

from jobtide.backoff import full_backoff_seconds
from jobtide.queue.urgency import Group, grouped, in_order, note
from jobtide_controller.api.v1alpha1 import Retry, Tenants
from jobtide_controller.decide.reading import Depth, Key, Reading
from jobtide_controller.simulate.followed import Ends, Followed
from jobtide_controller.simulate.state import Ledger, Line, Waiting, Worker
from jobtide_controller.simulate.trace import Job, Trace


@dataclass(frozen=True, slots=True)
class Setting:
    """Properties of the workers."""

    concurrency: int
    start_seconds: Callable[[], float]  # of the next worker, from its creation until it is ready
    tenants: Tenants = field(default_factory=Tenants)
    retry: Retry = field(default_factory=Retry)
    promises: Mapping[str, int] = field(default_factory=dict)  # of each type; empty: all types take turns


Event = Callable[[], None]

LOOKED_AT = 16  # tenants next in turn by which a group's urgency is known, as in the worker


class Cluster:
    """`advance` moves time forward; between two calls of it, a scaler reads the state and calls `scale`."""

    def __init__(self, trace: Trace, setting: Setting, chance: Random) -> None:
        self.now = 0.0
        self.began_at = trace.began_at
        self.workers: list[Worker] = []
        self.started_in: deque[float] = deque(maxlen=20)  # seconds that the last workers took
        self.ledger = Ledger()
        self._trace, self._setting, self._chance = trace, setting, chance
        self._jobs = iter(trace.jobs)
        self._next_job = next(self._jobs, None)
        self._lines: dict[Key, Line] = {}
        self._groups = grouped(trace.types, setting.promises) if setting.promises else {0.0: trace.types}
        self._rings: dict[float, deque[Key]] = {seconds: deque() for seconds in self._groups}
        self._ring_of = {type_: self._rings[seconds] for seconds, types in self._groups.items() for type_ in types}
        self._free: list[Worker] = []  # one entry for each free slot
        self._tenant_running: dict[str, int] = {}
        self._followed = Followed()
        self._events: list[tuple[float, int, Event]] = []
        self._numbers = count(1)

    @property
    def is_over(self) -> bool:
        """No job waits, runs or will arrive."""
        return self._next_job is None and all(not (line.due or line.later or line.running) for line in self.lines)

    @property
    def lines(self) -> Iterator[Line]:
        return iter(self._lines.values())

    @property
    def is_empty(self) -> bool:
        return not self._lines

    @property
    def next_arrival_at(self) -> float | None:
        return None if self._next_job is None else self._next_job.created_at

    @property
    def open_jobs(self) -> int:
        """Pending (including scheduled) and processing: what KEDA's usual query counts."""
        return sum(len(line.due) + len(line.later) + line.running for line in self.lines)

    @property
    def oldest_seconds(self) -> float:
        """Seconds that the oldest due job has waited; 0 if none is due."""
        return max((self.now - line.due[0].due_at for line in self.lines if line.due), default=0.0)

    @property
    def present(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.stopping]

    def advance(self, until: float) -> None:
        """Runs all events up to this moment, in order."""
        while True:
            arrival = self._next_job
            event_at = self._events[0][0] if self._events else until + 1.0
            arrival_at = arrival.created_at if arrival is not None else until + 1.0
            if min(event_at, arrival_at) > until:
                break
            if arrival is not None and arrival_at <= event_at:
                self.now = arrival_at
                self._arrive(arrival)
            else:
                self.now, _, event = heapq.heappop(self._events)
                event()
            self._claim()
        self.now = until

    def reading(self) -> Reading:
        """As the controller's statement returns it; arrivals are counted since the last reading."""
        depths: dict[Key, Depth] = {}
        clock, followed = self._trace.clock(self.now), self._followed.take(self.now)
        for key, line in list(self._lines.items()):
            depths[key] = line.depth(clock, followed.get(key, Ends()))
            line.arrivals = 0
            if line.is_empty:
                del self._lines[key]
        return Reading(clock, depths)

    def scale(self, replicas: int, order: Callable[[Worker], tuple[float, ...]]) -> None:
        """Starts or stops workers until this many are not stopping; the lowest by `order` stops first."""
        present = self.present
        for _ in range(replicas - len(present)):
            self._start()
        for worker in sorted(present, key=order)[: max(0, len(present) - replicas)]:
            self._stop(worker)

    def closed(self) -> Ledger:
        """The ledger, with the worker-seconds of the workers that still exist."""
        for worker in list(self.workers):
            self._gone(worker)
        return self.ledger

    def _arrive(self, job: Job) -> None:
        self._next_job = next(self._jobs, None)
        self._line(Key(job.type, job.tenant_id)).arrivals += 1
        self._queue(Waiting(job.startable_at, next(self._numbers), job, 1))

    def _queue(self, waiting: Waiting) -> None:
        key = Key(waiting.job.type, waiting.job.tenant_id)
        if waiting.due_at > self.now:
            heapq.heappush(self._line(key).later, waiting)
            self._at(waiting.due_at, lambda: self._fall_due(key))
            return
        self._due(key, waiting)

    def _fall_due(self, key: Key) -> None:
        self._due(key, heapq.heappop(self._line(key).later))

    def _due(self, key: Key, waiting: Waiting) -> None:
        line = self._line(key)
        line.due.append(waiting)
        line.due_at_sum += waiting.due_at
        self._enter_ring(key, line)

    def _enter_ring(self, key: Key, line: Line) -> None:
        if line.due and not line.in_ring:
            line.in_ring = True
            self._ring_of[key.type].append(key)

    def _claim(self) -> None:
        """One job per key in rotation; a tenant at its cap leaves the ring until one of its jobs ends."""
        while self._free and any(self._rings.values()):
            key = self._next_ring().popleft()
            line = self._lines[key]
            line.in_ring = False
            if self._is_at_cap(key.tenant_id):
                continue
            waiting = line.due.popleft()
            line.due_at_sum -= waiting.due_at
            self._run(key, line, waiting)
            self._enter_ring(key, line)

    def _next_ring(self) -> deque[Key]:
        """The keys, in turn, of the types that are claimed next, by any worker that is free."""
        if len(self._rings) == 1:
            return next(iter(self._rings.values()))
        worker = self._chance.choice(self._free)
        if not worker.groups:
            worker.groups = [Group(seconds, types) for seconds, types in self._groups.items()]
        for group in worker.groups:
            ring = islice(self._rings[group.promise_seconds], LOOKED_AT)
            group.oldest_at = min((self._lines[key].due[0].due_at for key in ring), default=inf)
        order = in_order(worker.groups, self.now)
        place = next(place for place, group in enumerate(order) if group.oldest_at < inf)
        note(order, place + 1, self.now)
        return self._rings[order[place].promise_seconds]

    def _run(self, key: Key, line: Line, waiting: Waiting) -> None:
        place = self._chance.randrange(len(self._free))
        self._free[place], self._free[-1] = self._free[-1], self._free[place]
        worker = self._free.pop()
        worker.running += 1
        line.running += 1
        self._tenant_running[key.tenant_id] = self._tenant_running.get(key.tenant_id, 0) + 1
        self.ledger.waits.append((key, self.now - waiting.due_at))
        self.ledger.due_at.append(waiting.due_at)
        self.ledger.attempt_seconds += waiting.job.service_seconds
        self._followed.starts(waiting.order, key)
        self._at(self.now + waiting.job.service_seconds, lambda: self._end(key, worker, waiting))

    def _end(self, key: Key, worker: Worker, waiting: Waiting) -> None:
        line = self._lines[key]
        line.running -= 1
        worker.running -= 1
        self._tenant_running[key.tenant_id] -= 1
        if not worker.stopping:
            self._free.append(worker)
        elif worker.running == 0:
            self._gone(worker)
        self._followed.stops(waiting.order, self.now, ended=not (self._fails() and self._retry(waiting)))
        if self._setting.tenants.cap_of(key.tenant_id) is not None:
            self._leave_cap(key.tenant_id)

    def _fails(self) -> bool:
        share = self._trace.failing_share
        return self._trace.is_failing(self.now) and (share >= 1.0 or self._chance.random() < share)

    def _retry(self, waiting: Waiting) -> bool:
        retry = self._setting.retry
        if waiting.attempt >= retry.max_attempts:
            self.ledger.failed += 1
            return False
        delay = full_backoff_seconds(waiting.attempt, base_seconds=retry.base_seconds, max_seconds=retry.max_seconds)
        due_at = self.now + delay * (0.5 + 0.5 * self._chance.random())
        self._queue(Waiting(due_at, waiting.order, waiting.job, waiting.attempt + 1))
        return True

    def _leave_cap(self, tenant_id: str) -> None:
        for type_ in self._trace.types:
            line = self._lines.get(Key(type_, tenant_id))
            if line is not None:
                self._enter_ring(Key(type_, tenant_id), line)

    def _is_at_cap(self, tenant_id: str) -> bool:
        cap = self._setting.tenants.cap_of(tenant_id)
        return cap is not None and self._tenant_running.get(tenant_id, 0) >= cap

    def _start(self) -> None:
        seconds = self._setting.start_seconds()
        worker = Worker(next(self._numbers), self.now, self.now + seconds)
        self.workers.append(worker)
        self._at(worker.ready_at, lambda: self._ready(worker))

    def _ready(self, worker: Worker) -> None:
        if worker.stopping:
            return
        self.started_in.append(worker.ready_at - worker.created_at)
        self._free.extend([worker] * self._setting.concurrency)

    def _stop(self, worker: Worker) -> None:
        worker.stopping = True
        self._free = [free for free in self._free if free is not worker]
        if worker.running:
            self.ledger.busy_stopped += 1
        else:
            self._gone(worker)

    def _gone(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.ledger.worker_seconds += self.now - worker.created_at

    def _line(self, key: Key) -> Line:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line()
        return line

    def _at(self, moment: float, event: Event) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), event))
