"""decide -> apply -> report for one pool: the pure functions between the ports."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from jobtide_controller.decide.connection_shares import (
    HELD_BY_WORKER,
    ConnectionRequest,
    connection_request,
    held_request,
)
from jobtide_controller.decide.fleet import Fleet, Share
from jobtide_controller.decide.history import History, limited, restored
from jobtide_controller.decide.holders import believed
from jobtide_controller.decide.limits import Shared, with_limits
from jobtide_controller.decide.reading import Reading, Unreadable
from jobtide_controller.decide.scaling import Proposal, conclude, propose
from jobtide_controller.loop.ports import GoneWorker, PoolEntry, Pools, Scaling, Workers
from jobtide_controller.loop.report import Outcome, Reporter, gauges
from jobtide_controller.loop.term import PoolState, Term
from jobtide_controller.render.facts import Context
from jobtide_controller.render.status import readable
from jobtide_controller.render.trouble import Trouble

NO_WORKERS = frozenset[str]()  # one for all pools: every empty set that Python makes takes memory

UNREPORTED_SECONDS = 3.0  # so long a status waits for the number of workers to be written


class Pipeline:
    """Holds nothing of a pool: what it remembers is in the pool's state, which is handed in."""

    def __init__(self, pools: Pools, workers: Workers, reporter: Reporter) -> None:
        self._pools = pools
        self._workers = workers
        self._reporter = reporter

    def propose(
        self, entry: PoolEntry, state: PoolState, reading: Reading | Unreadable, shared: Shared, now: float
    ) -> Proposal:
        """What the pool asks for, and the workers that this is based on. `shared`: limits of tenants, for all pools."""
        spec = entry.pool.spec
        busy = NO_WORKERS if isinstance(reading, Unreadable) else frozenset(reading.pods) or NO_WORKERS
        fleet, history = self._workers.fleet(entry.uid, busy), _history(entry, state)
        if not isinstance(reading, Unreadable):
            state.busy_uids = busy
            reading = believed(reading, self._holders(busy, fleet), spec.concurrency)
            spec = with_limits(spec, shared, reading, history)
        return propose(spec, reading, fleet, history, now)

    def _holders(self, uids: AbstractSet[str], fleet: Fleet) -> set[str]:
        """Of these holders of claims, the pool's own workers, and those whose jobs wait for their rescue."""
        own = {pod.uid for pod in fleet.pods}
        return {uid for uid in uids if uid in own or isinstance(self._workers.presence_of(uid), GoneWorker)}

    @staticmethod
    def request(state: PoolState, proposal: Proposal) -> ConnectionRequest:
        """What the pool asks for of the connection budget."""
        if state.scaler.failure is not None and state.scaler.failure.is_conflict:
            return ConnectionRequest(0)  # no worker can start where the Deployment is another's
        unlimited, numbers = proposal.unlimited.replicas, proposal.numbers
        needed = 0 if numbers is None else numbers.required
        return connection_request(proposal.policy, proposal.reading, proposal.fleet, unlimited, needed=needed)

    def held_request(self, uid: str, state: PoolState) -> ConnectionRequest:
        """What a pool that can't be decided keeps of the connection budget."""
        connections = HELD_BY_WORKER if state.request is None else state.request.connections
        return held_request(self._workers.fleet(uid, frozenset()), connections)

    def advance(  # noqa: PLR0917 - one value from each stage of the pipeline
        self,
        term: Term,
        entry: PoolEntry,
        state: PoolState,
        proposal: Proposal,
        share: Share | None,
        database: Context,
    ) -> None:
        """Concludes the decision, has it applied and reported, and notes when to look at the pool again.

        `database`: what is known of the database; the rest of the context is the pool's own.
        """
        decision = conclude(proposal, share)
        state.history = decision.history
        scaling = state.scaler.scale(decision.replicas, lambda: self._fleet_now(entry.uid, state, proposal.fleet))
        context = self._context(entry, state, database)
        outcome = Outcome(entry, proposal.reading, proposal.fleet, decision, context, proposal.policy)
        state.gauges = gauges(outcome)
        self._reporter.announce(outcome, state)
        is_reported = not _awaits_number(entry, state, scaling, proposal.now) and self._reporter.report(
            term, outcome, state
        )
        state.is_idle = is_reported and not scaling.is_due and _changes_no_more(outcome)
        if state.is_idle:
            self._reporter.end_changes(term, state)
        again_at = None if scaling.again_seconds is None else proposal.now + scaling.again_seconds
        state.wake_at = min((at for at in (decision.wake_at, again_at) if at is not None), default=None)

    def report_trouble(self, term: Term, entry: PoolEntry, state: PoolState, trouble: Trouble) -> None:
        """The pool can't be decided: its workers stay as they are, and its status says why."""
        state.gauges = None
        self._reporter.report_trouble(term, entry, state, trouble, self._workers.fleet(entry.uid, frozenset()))

    def _fleet_now(self, uid: str, state: PoolState, then: Fleet) -> Fleet:
        """Workers as they are, busy as last read: a write may have waited since the decision."""
        busy = then.busy_uids if state.busy_uids is None else state.busy_uids
        return then if self._pools.get(uid) is None else self._workers.fleet(uid, busy)

    def _context(self, entry: PoolEntry, state: PoolState, database: Context) -> Context:
        failure = state.scaler.failure
        return replace(
            database,
            conflict=failure.message if failure is not None and failure.is_conflict else None,
            apply_error=failure.message if failure is not None and not failure.is_conflict else None,
            overlaps=self._pools.overlaps(entry.uid),
            rollout=self._workers.rollout(entry.uid),
        )


def _awaits_number(entry: PoolEntry, state: PoolState, scaling: Scaling, now: float) -> bool:
    """Whether a status would soon be replaced, because the number of workers is on its way to the API server.

    So a scale-up costs one status and not two, and a thousand of them come before all statuses. A new pool's first
    status does not wait: its user looks whether it is known.
    """
    if not scaling.is_due or state.scaler.failure is not None:
        state.writing_since = None
        return False
    if state.writing_since is None:
        state.writing_since = now
    return entry.status is not None and now - state.writing_since < UNREPORTED_SECONDS


def _history(entry: PoolEntry, state: PoolState) -> History:
    if state.history is not None:
        return limited(state.history, entry.types)
    return restored(None if entry.status is None else readable(entry.status))


def _changes_no_more(outcome: Outcome) -> bool:
    """Time alone changes nothing any more: no jobs, no memory of jobs, and as many workers as asked for."""
    decision, fleet = outcome.decision, outcome.fleet
    if fleet.current_replicas != decision.replicas or any(pod.problem or pod.cause for pod in fleet.pods):
        return False  # time decides whether a pod that waits is a failure
    if isinstance(outcome.reading, Unreadable):
        return True
    history = decision.history
    notes = history.failing is not None or history.late_at is not None
    return not (outcome.reading.depths or history.counts or history.flow or notes or len(history.recommendations) > 1)
