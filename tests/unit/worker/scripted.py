"""A queue of ours that does what the test says: the fake of our own small Protocol, never of PostgreSQL."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from uuid import UUID, uuid4

from jobtide.context import Context
from jobtide.job import End, Job
from jobtide.queue.job_queue import Claim, Rescued
from jobtide.queue.ring import Ring
from jobtide.queue.session import BadData, DatabaseAway
from jobtide.worker.finisher import Finisher
from jobtide.worker.in_flight import InFlight
from jobtide.worker.loop import Worker
from jobtide.worker.outcome import RetryPolicy
from jobtide.worker.runner import Runner


def job_of(type_: str, *, attempt: int = 1, payload: object = None, result: object = None) -> Job:
    return Job(uuid4(), UUID(int=7), type_, payload, attempt, "jobtide:pod:nonce", result=result)


class ScriptedQueue:
    """Claims hand out `due` in order; ends are kept by id. `away` and `refuse` make it fail."""

    def __init__(self, *due: Job) -> None:
        self.due = deque(due)
        self.ends: dict[UUID, End] = {}
        self.batches: list[int] = []
        self.extended: list[UUID] = []
        self.lost: set[UUID] = set()  # ids that the fence refuses
        self.away = False
        self.answers_lost = 0  # so many finishes are applied, but their answer is lost
        self.refuse: set[UUID] = set()  # ids whose result the server won't store
        self.closed = False
        self.asked: list[int] = []

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim:
        self._answer()
        self.asked.append(wanted)
        jobs = [self.due.popleft() for _ in range(min(wanted, len(self.due)))]
        return Claim(jobs, ring, per_key, drained=len(jobs) < wanted)

    def finish(self, ends: Sequence[End]) -> set[UUID]:
        self._answer()
        if any(end.job.id in self.refuse and end.status == "completed" for end in ends):
            raise BadData("numeric field overflow")
        self.batches.append(len(ends))
        passed = {end.job.id for end in ends if end.job.id not in self.lost and end.job.id not in self.ends}
        self.ends.update({end.job.id: end for end in ends if end.job.id in passed})
        if self.answers_lost:
            self.answers_lost -= 1
            raise DatabaseAway("server closed the connection unexpectedly")
        return passed

    def confirm(self, ends: Sequence[End]) -> set[UUID]:
        self._answer()
        return {end.job.id for end in ends if end.job.id in self.ends}

    def extend(self, contexts: Sequence[Context]) -> set[UUID]:
        self._answer()
        held = {context.job.id for context in contexts if context.job.id not in self.lost}
        self.extended.extend(held)
        return held

    def rescue_expired(self, at_most: int) -> list[Rescued]:
        self._answer()
        return []

    def rescue_own_pod(self) -> list[Rescued]:
        self._answer()
        return []

    def close(self) -> None:
        self.closed = True

    def _answer(self) -> None:
        if self.away:
            raise DatabaseAway("connection refused")


class Rig:
    """A worker's parts around a scripted queue, wired as in commands/worker.py; `events` is what was emitted."""

    def __init__(self, tide, queue: ScriptedQueue, *, slots: int = 2, lease_seconds: float = 60, **settings) -> None:
        self.queue = queue
        self.events: list[object] = []
        self.mailbox: SimpleQueue = SimpleQueue()
        self.in_flight = InFlight(lease_seconds)
        self.finisher = Finisher(queue, self.in_flight, self.events.append)
        self.runner = Runner(
            tide.handlers, self.in_flight, replace(RetryPolicy(), base_seconds=0), threads=slots,
            max_result_bytes=1_000, write=self.finisher.put, free=partial(self.mailbox.put, "freed"),
            emit=self.events.append,
        )  # fmt: skip
        self.worker = Worker(
            queue=queue, finisher=self.finisher, in_flight=self.in_flight, runner=self.runner,
            ring=Ring(tuple(tide.handlers)), mailbox=self.mailbox, slots=slots, poll_seconds=0.01,
            emit=self.events.append, **{"drain_seconds": 30, **settings},
        )  # fmt: skip

    def seen(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def run_in_thread(self) -> threading.Thread:
        thread = threading.Thread(target=self.worker.run, daemon=True)
        thread.start()
        return thread
