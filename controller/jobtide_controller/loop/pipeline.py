"""decide -> apply -> report for one pool: the pure functions between the inventory and the write queue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from jobtide_controller.api.status import JobWorkerPoolStatus
from jobtide_controller.decide.connection_shares import ConnectionRequest, connection_request
from jobtide_controller.decide.fleet import Fleet, Rollout, Share
from jobtide_controller.decide.history import History, limited, restored
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.scaling import Decision, decide
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.inventory.pools import PoolEntry
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.apply import ConflictError
from jobtide_controller.kube.write.work_queue import Priority, WriteQueue, WriteRequest
from jobtide_controller.loop.report import Outcome, Reporter
from jobtide_controller.render.facts import Context


class Converger(Protocol):
    def is_due(self, entry: PoolEntry, replicas: int) -> bool: ...

    def is_quiet(self, uid: str) -> bool: ...

    async def converge(self, uid: str, replicas: int, fleet: Callable[[], Fleet]) -> None: ...

    def forget(self, uid: str) -> None: ...


class Observer(Protocol):
    """Keeps what was last known, for the metrics."""

    def put_pool(self, outcome: Outcome) -> None: ...

    def drop_pool(self, uid: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What one pool needs from the next ticks."""

    settled: bool  # nothing to do until something happens to the pool or its jobs
    wake_at: float | None  # controller's clock


class Pipeline:
    def __init__(
        self,
        inventory: Inventory,
        applier: Converger,
        queue: WriteQueue,
        reporter: Reporter,
        observer: Observer,
    ) -> None:
        self._inventory = inventory
        self._applier = applier
        self._queue = queue
        self._reporter = reporter
        self._observer = observer
        self._histories: dict[str, History] = {}
        self._busy: dict[str, frozenset[str]] = {}
        self._errors: dict[str, ApiError] = {}

    def connection_request(self, entry: PoolEntry, reading: Reading | Unreadable, now: float) -> ConnectionRequest:
        """What the pool would have if its database had connections without end. Nothing is done or remembered."""
        if isinstance(self._errors.get(entry.uid), ConflictError):
            return ConnectionRequest(0)  # no worker can begin where the Deployment is another's
        fleet = self._inventory.fleet(entry, reading)
        spec = entry.pool.spec
        return connection_request(
            spec, reading, fleet, decide(spec, reading, fleet, self._history(entry), now).replicas
        )

    def advance(
        self,
        entry: PoolEntry,
        reading: Reading | Unreadable,
        share: Share | None,
        *,
        warnings: tuple[str, ...],
        now: float,
    ) -> Progress:
        fleet = replace(self._inventory.fleet(entry, reading), share=share)
        decision = decide(entry.pool.spec, reading, fleet, self._history(entry), now)
        self._histories[entry.uid] = decision.history
        if not isinstance(reading, Unreadable):
            self._busy[entry.uid] = fleet.busy_uids
        due = self._applier.is_due(entry, decision.replicas)
        if due:
            self._queue.submit(self._wish(entry, decision, fleet))
        else:
            self._withdraw(entry.uid)
        outcome = Outcome(entry, reading, fleet, decision, self._context(entry, warnings))
        self._observer.put_pool(outcome)
        told = self._reporter.report(outcome)
        settled = told and not due and self._applier.is_quiet(entry.uid) and _is_at_rest(outcome)
        if settled:
            self._reporter.quiet(entry.uid)
        return Progress(settled, decision.wake_at)

    def rested(self, uid: str, taken_at: float) -> None:
        """A pool that was left alone up to this reading has seen it too: nothing waited, ran or arrived."""
        history = self._histories.get(uid)
        if history is not None and history.read_at is not None and history.read_at < taken_at:
            self._histories[uid] = replace(history, read_at=taken_at)

    def forget(self, uid: str) -> None:
        """The pool is gone."""
        self._histories.pop(uid, None)
        self._busy.pop(uid, None)
        self._errors.pop(uid, None)
        self._queue.drop(uid)
        self._applier.forget(uid)
        self._reporter.forget(uid)
        self._observer.drop_pool(uid)

    def follow(self, uids: Collection[str]) -> None:
        """Another controller leads, and reports. What was decided on the way there is in the metrics by now."""
        for uid in uids:
            self._observer.drop_pool(uid)
        self.begin_anew(uids)

    def begin_anew(self, uids: Iterable[str]) -> None:
        """Another controller led, or another database is read by now: the statuses have what was learned and told."""
        for uid in uids:
            self._histories.pop(uid, None)
            self._busy.pop(uid, None)
            self._errors.pop(uid, None)
            self._reporter.forget(uid)

    def _history(self, entry: PoolEntry) -> History:
        known = self._histories.get(entry.uid)
        if known is not None:
            return limited(known, entry.types)
        return restored(None if entry.status is None else JobWorkerPoolStatus.model_validate(entry.status))

    def _wish(self, entry: PoolEntry, decision: Decision, fleet: Fleet) -> WriteRequest:
        replicas = decision.replicas
        current = fleet.current_replicas or 0
        change = Priority.SCALE_DOWN if replicas < current else Priority.CHANGE
        return WriteRequest(
            entry.uid,
            entry.ref,
            "fleet",
            Priority.SCALE_UP if replicas > current else change,
            lambda: self._applier.converge(entry.uid, replicas, lambda: self._fleet_now(entry.uid, fleet)),
            on_result=lambda error: self._note_result(entry.uid, error),
            version=(entry.pool.metadata.generation, replicas),
        )

    def _withdraw(self, uid: str) -> None:
        """All is as decided: a number that waits to be tried again is not wanted any more."""
        self._queue.withdraw(uid, "fleet")
        self._errors.pop(uid, None)

    def _note_result(self, uid: str, error: ApiError | None) -> None:
        """A write of the pool's Deployment was answered."""
        before = self._errors.get(uid)
        if error is None:
            self._errors.pop(uid, None)
        else:
            self._errors[uid] = error
        if str(before) != str(error) and (entry := self._inventory.pools.get(uid)) is not None:
            self._inventory.changes.mark(entry.database, uid)

    def _fleet_now(self, uid: str, then: Fleet) -> Fleet:
        """Pods as they are, busy as last read: a wish may have waited for its turn."""
        entry = self._inventory.pools.get(uid)
        if entry is None:
            return then
        return replace(then, pods=self._inventory.pods.of(entry.ref), busy_uids=self._busy.get(uid, then.busy_uids))

    def _context(self, entry: PoolEntry, warnings: tuple[str, ...]) -> Context:
        error = self._errors.get(entry.uid)
        deployment = self._inventory.deployment(entry.uid)
        is_conflict = isinstance(error, ConflictError)
        return Context(
            conflict=error.message if error is not None and is_conflict else None,
            apply_error=str(error) if error is not None and not is_conflict else None,
            overlaps=self._inventory.pools.overlaps(entry),
            schema_warnings=warnings,
            rollout=Rollout() if deployment is None else deployment.rollout,
        )


def _is_at_rest(outcome: Outcome) -> bool:
    """Time alone changes nothing any more: no jobs, no memory of jobs, and as many workers as asked for."""
    decision, fleet = outcome.decision, outcome.fleet
    if fleet.current_replicas != decision.replicas:
        return False
    if isinstance(outcome.reading, Unreadable):
        return True
    history = decision.history
    notes = history.failing is not None or history.late_at is not None
    return not (outcome.reading.depths or history.counts or history.flow or notes or len(history.recommendations) > 1)
