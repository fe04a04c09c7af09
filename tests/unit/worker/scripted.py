"""A JobQueue in memory that fails on command; tests/contracts holds it against PostgreSQL's."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import count
from uuid import UUID, uuid4

from jobtide.context import Context
from jobtide.job import End, Job, suspicion_of, token_prefix
from jobtide.queue.job_queue import Claim, Rescued
from jobtide.queue.refusals import LOCKED, RowRefused
from jobtide.queue.ring import Key, Ring, rows_per_key
from jobtide.queue.session import DatabaseUnreachable
from jobtide.worker.finisher import Finisher
from jobtide.worker.in_flight import InFlight
from jobtide.worker.loop import Worker
from jobtide.worker.mailbox import Mailbox
from jobtide.worker.outcome import RetryPolicy
from jobtide.worker.runner import Runner

WAIT_SECONDS = 10


def job_of(type_: str, *, attempt: int = 1, payload: object = None, result: object = None) -> Job:
    return Job(uuid4(), UUID(int=7), type_, payload, attempt, "jobtide:pod:nonce", result=result)


class ScriptedQueue:
    """A table without a clock: jobs with a delay never fall due, leases expire by `expired` alone.

    `due` are the pending jobs, the oldest first, with the attempt that their next claim counts.
    """

    def __init__(self, *due: Job, pod_uid: str = "pod") -> None:
        self.due = list(due)
        self.claimed: dict[UUID, Job] = {}  # under the claim that holds each
        self.expired: set[UUID] = set()
        self.ends: dict[UUID, End] = {}  # the last of each job
        self.batches: list[int] = []
        self.extended: list[UUID] = []
        self.unreachable = False
        self.answers_lost = 0  # so many finishes are applied, then raise as if their answer was lost
        self.refuse: dict[UUID, RowRefused] = {}  # why the server refuses to complete these
        self.locked: set[UUID] = set()  # by another transaction
        self.refuses_every_end = False  # also that these fail
        self.statements = 0  # with ends or leases, refused ones too
        self.closed = False
        self.asked: list[int] = []
        self._pod_uid = pod_uid
        self._claims = count()

    def of_pod(self, pod_uid: str) -> ScriptedQueue:
        """The same table, seen by a process of another pod."""
        other = copy(self)
        other._pod_uid = pod_uid
        return other

    def hold(self, type_: str = "t") -> Job:
        """A new job that is claimed already."""
        job = job_of(type_)
        self.claimed[job.id] = job
        return job

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim:
        self._answer()
        self.asked.append(wanted)
        due = {key: [job for job in self.due if _key(job) == key] for key in sorted(set(map(_key, self.due)))}
        taken = [
            job
            for type_, first, last, _ in ring.lap()
            for key, jobs in due.items()
            if key[0] == type_ and first <= key[1] <= last
            for job in jobs[:per_key]
        ][:wanted]
        if not taken:
            return Claim([], ring, wanted, drained=True)
        token = f"{token_prefix(self._pod_uid)}{next(self._claims)}"
        for job in taken:
            self.due.remove(job)
            self.claimed[job.id] = replace(job, token=token)
        served = Counter(map(_key, taken))
        return Claim(
            [self.claimed[job.id] for job in taken],
            ring.after(_key(taken[-1])),
            rows_per_key(wanted, len(served)),
            drained=len(taken) < wanted and max(served.values()) < per_key,
        )

    def finish(self, ends: Sequence[End]) -> set[UUID]:
        self._answer()
        if any(end.job.id in self.locked for end in ends):
            self.statements += 1
            raise LOCKED
        return self.finish_unlocked(ends)

    def finish_unlocked(self, ends: Sequence[End]) -> set[UUID]:
        self._answer()
        self.statements += 1
        for end in ends:
            if end.job.id in self.refuse and (end.status == "completed" or self.refuses_every_end):
                raise self.refuse[end.job.id]
        ends = [end for end in ends if end.job.id not in self.locked]
        self.batches.append(len(ends))
        passed = [end for end in ends if self._holds(end.job)]
        for end in passed:
            del self.claimed[end.job.id]
            self.ends[end.job.id] = end
            if end.status == "pending" and not end.delay_seconds:
                self.due.append(end.job if end.gives_back else replace(end.job, attempt=end.job.attempt + 1))
        if self.answers_lost:
            self.answers_lost -= 1
            raise DatabaseUnreachable("server closed the connection unexpectedly")
        return {end.job.id for end in passed}

    def held(self, jobs: Sequence[Job]) -> set[UUID]:
        self._answer()
        return {job.id for job in jobs if self._holds(job)}

    def confirm(self, ends: Sequence[End]) -> set[UUID]:
        self._answer()
        written = {(end.job.id, end.job.token) for end in self.ends.values()}
        return {end.job.id for end in ends if (end.job.id, end.job.token) in written}

    def extend(self, contexts: Sequence[Context]) -> set[UUID]:
        self._answer()
        self.statements += 1
        for context in contexts:
            if context.job.id in self.refuse and context.reported:
                raise self.refuse[context.job.id]
        held = {c.job.id for c in contexts if self._holds(c.job) and c.job.id not in self.locked}
        self.extended.extend(held)
        for context in contexts:
            if context.job.id in held and context.reported:
                job = self.claimed[context.job.id]
                self.claimed[job.id] = replace(job, result=json.loads(context.reported))
        return held

    def rescue_expired(self, at_most: int) -> list[Rescued]:
        self._answer()
        return self._rescue([job for job in self.claimed.values() if job.id in self.expired][:at_most])

    def rescue_own_pod(self) -> list[Rescued]:
        self._answer()
        return self._rescue([job for job in self.claimed.values() if job.token.startswith(token_prefix(self._pod_uid))])

    def close(self) -> None:
        self.closed = True

    def _answer(self) -> None:
        if self.unreachable:
            raise DatabaseUnreachable("connection refused")
        self.closed = False

    def _holds(self, job: Job) -> bool:
        held = self.claimed.get(job.id)
        return held is not None and (held.token, held.attempt) == (job.token, job.attempt)

    def _rescue(self, jobs: list[Job]) -> list[Rescued]:
        for job in jobs:
            del self.claimed[job.id]
            self.expired.discard(job.id)
            level = suspicion_of(job)
            counted = level == 3
            self.due.append(
                replace(job, attempt=job.attempt + counted, result={"error": {}, "suspect": min(2, level + 1)})
            )
        return [Rescued(job.id, job.type, job.tenant_id, job.attempt - (suspicion_of(job) != 3)) for job in jobs]


class Rig:
    """A worker's parts around a scripted queue, wired as in commands/worker.py; `events` is what was emitted."""

    def __init__(self, tide, queue: ScriptedQueue, *, slots: int = 2, lease_seconds: float = 60, **settings) -> None:
        self.queue = queue
        self.events: list[object] = []
        self.mailbox = Mailbox()
        self.in_flight = InFlight(lease_seconds)
        self.finisher = Finisher(queue, self.in_flight, self._emit)
        self.runner = Runner(
            tide.handlers, self.in_flight, replace(RetryPolicy(), base_seconds=0), threads=slots,
            max_result_bytes=1_000, write=self.finisher.put, free=partial(self.mailbox.put, "freed"),
            emit=self._emit,
        )  # fmt: skip
        self.worker = Worker(
            queue=queue, finisher=self.finisher, in_flight=self.in_flight, runner=self.runner,
            ring=Ring(tuple(tide.handlers)), mailbox=self.mailbox, slots=slots,
            emit=self._emit, **{"poll_seconds": 0.01, "drain_seconds": 30, **settings},
        )  # fmt: skip
        self._emitted = threading.Condition()

    def seen(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Until the condition is true, which is asked at each event."""
        with self._emitted:
            assert self._emitted.wait_for(condition, WAIT_SECONDS), f"not within {WAIT_SECONDS} s: {self.events}"

    def run_in_thread(self) -> threading.Thread:
        thread = threading.Thread(target=self.worker.run, daemon=True)
        thread.start()
        return thread

    def _emit(self, event: object) -> None:
        with self._emitted:
            self.events.append(event)
            self._emitted.notify_all()


def _key(job: Job) -> Key:
    return job.type, job.tenant_id.int
