"""Any interleaving of everything that can happen to a job, against a real server.

The machine keeps what must be true beside the table: who holds which claim, whether it still counts, how each job
ended. No job is lost, each ends at most once and stays as it ended, attempts stay within their limit, caps are kept,
and rows of other consumers are never touched.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from jobtide.context import Context
from jobtide.errors import Fail, Snooze
from jobtide.job import End, Job
from jobtide.operate.change import Change
from jobtide.operate.filters import JobFilter, Verb
from jobtide.queue.caps import TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session
from jobtide.sql import load
from jobtide.worker import outcome
from jobtide.worker.outcome import RetryPolicy

TENANTS = [UUID(int=number) for number in range(1, 5)]
TYPES = ("a", "b")
CAP = 3
POLICY = RetryPolicy(max_attempts=3, base_seconds=0)
PODS = [f"00000000-0000-0000-0000-{number:012d}" for number in range(3)]
RETURNED = {"complete": {"ok": True}, "unstorable": float("nan")}
RAISED = {"fail": Fail("no"), "retry": ValueError("again"), "snooze": Snooze(0)}
HOW_IT_ENDS = (*RETURNED, *RAISED, "give back")


@dataclass
class Hand:
    """One worker process: its claims that have not ended, and its ring."""

    pod_uid: str
    queue: PostgresJobQueue
    ring: Ring = field(default_factory=lambda: Ring(TYPES))
    holds: list[Job] = field(default_factory=list)


class Queue(RuleBasedStateMachine):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.connection = psycopg.connect(url, autocommit=True)
        self.hands = [Hand(pod, self._new_queue(url, pod)) for pod in PODS]
        self.jobs: set[UUID] = set()
        self.counts: set[tuple[UUID, str]] = set()  # claims that hold their lease
        self.ended: dict[UUID, tuple] = {}  # the row of a job as its accepted end left it
        self.foreign: tuple = ()

    @staticmethod
    def _new_queue(url: str, pod: str) -> PostgresJobQueue:
        return PostgresJobQueue(Session(lambda: url), pod_uid=pod, lease_seconds=3600, caps=TenantCaps(CAP))

    @initialize()
    def empty_the_table(self) -> None:
        self.connection.execute("TRUNCATE job_queue, tenants CASCADE")
        for tenant in TENANTS:
            self.connection.execute("INSERT INTO tenants (id) VALUES (%s)", [tenant])
        self.connection.execute(
            """INSERT INTO job_queue (tenant_id, type, status, worker_id, next_retry_at, attempts)
               VALUES (%s, 'elsewhere', 'processing', 'worker_1', now() - interval '1 day', 7)""",
            [TENANTS[0]],
        )
        self.foreign = self._foreign_rows()

    @rule(tenant=st.sampled_from(TENANTS), type_=st.sampled_from(TYPES), later=st.booleans(), rows=st.integers(1, 3))
    def enqueue(self, tenant: UUID, type_: str, later: bool, rows: int) -> None:
        for _ in range(rows):
            row = self.connection.execute(
                """INSERT INTO job_queue (tenant_id, type, next_retry_at)
                   SELECT id, %s, CASE WHEN %s THEN now() + interval '1 hour' END FROM tenants WHERE id = %s
                   RETURNING id""",
                [type_, later, tenant],
            ).fetchone()
            self.jobs |= {row[0]} if row else set()  # the tenant may have been deleted

    @rule(number=st.integers(0, 2), wanted=st.integers(1, 6), per_key=st.integers(1, 4))
    def claim(self, number: int, wanted: int, per_key: int) -> None:
        hand = self.hands[number]
        claim = hand.queue.claim(hand.ring, wanted, per_key)
        hand.ring = claim.ring
        for job in claim.jobs:
            assert job.id in self.jobs
            assert job.id not in self.ended
            assert not [key for key in self.counts if key[0] == job.id], "claimed while another claim counts"
            self.counts.add((job.id, job.token))
            hand.holds.append(job)

    @rule(number=st.integers(0, 2), index=st.integers(0, 20), how=st.sampled_from(HOW_IT_ENDS))
    def end(self, number: int, index: int, how: str) -> None:
        hand = self.hands[number]
        if not hand.holds:
            return
        job = hand.holds.pop(index % len(hand.holds))
        end = self._end_of(job, how)
        passed = hand.queue.finish([end])
        assert (job.id in passed) == ((job.id, job.token) in self.counts), "the fence and the model disagree"
        self.counts.discard((job.id, job.token))
        if passed and end.status != "pending":
            self.ended[job.id] = self._row(job.id)

    def _end_of(self, job: Job, how: str) -> End:
        moment = outcome.moment()
        if job.attempt > POLICY.max_attempts:
            return outcome.exhausted(job, POLICY.max_attempts, moment)
        if how in RAISED:
            return outcome.raised(job, RAISED[how], POLICY, moment)
        if how in RETURNED:
            return outcome.returned(job, RETURNED[how], 100, moment)
        return outcome.requeued(job)

    @rule(number=st.integers(0, 2))
    def extend(self, number: int) -> None:
        hand = self.hands[number]
        held = hand.queue.extend([Context(job) for job in hand.holds]) if hand.holds else set()
        assert held == {job.id for job in hand.holds if (job.id, job.token) in self.counts}

    @rule(number=st.integers(0, 2), index=st.integers(0, 20))
    def a_lease_runs_out(self, number: int, index: int) -> None:
        hand = self.hands[number]
        if hand.holds:
            job = hand.holds[index % len(hand.holds)]
            self.connection.execute(
                "UPDATE job_queue SET next_retry_at = now() - interval '1 s' WHERE id = %s AND worker_id = %s"
                " AND status = 'processing'",
                [job.id, job.token],
            )

    @rule()
    def expired_leases_are_rescued(self) -> None:
        rescued = {row.id for row in self.hands[0].queue.rescue_expired(100)}
        self._taken_away(rescued)

    @rule(number=st.integers(0, 2), gives_back=st.booleans())
    def a_pod_is_gone(self, number: int, gives_back: bool) -> None:
        """Its process may live on, cut off: its claims are kept in its hands, and count no more."""
        hand = self.hands[number]
        rows = self.connection.execute(
            load("jobtide_controller.postgres.sql", "rescue_pod"),
            {"pod_uids": [hand.pod_uid], "gives_back": [gives_back], "tenants": None, "at_most": 100},
        ).fetchall()
        mine = {job.id for job in hand.holds if (job.id, job.token) in self.counts}
        assert len(rows) == len(mine)
        self._taken_away(mine)

    @rule(number=st.integers(0, 2))
    def a_container_is_restarted(self, number: int) -> None:
        hand = self.hands[number]
        rescued = {row.id for row in hand.queue.rescue_own_pod()}
        assert rescued == {job.id for job in hand.holds if (job.id, job.token) in self.counts}
        self._taken_away(rescued)
        hand.holds.clear()

    @rule(tenant=st.sampled_from(TENANTS), type_=st.sampled_from(TYPES))
    def an_operator_cancels(self, tenant: UUID, type_: str) -> None:
        ids = self._changed("cancel", ("pending", "processing"), tenant, type_)
        self._taken_away(ids)
        self.ended |= {id_: self._row(id_) for id_ in ids}

    @rule(tenant=st.sampled_from(TENANTS), type_=st.sampled_from(TYPES))
    def an_operator_retries(self, tenant: UUID, type_: str) -> None:
        for id_ in self._changed("retry", ("failed",), tenant, type_):
            del self.ended[id_]

    @rule(tenant=st.sampled_from(TENANTS), type_=st.sampled_from(TYPES))
    def an_operator_purges(self, tenant: UUID, type_: str) -> None:
        for id_ in self._changed("purge", ("completed", "failed"), tenant, type_):
            del self.ended[id_]
            self.jobs.remove(id_)

    def _changed(self, verb: Verb, statuses: tuple[str, ...], tenant: UUID, type_: str) -> set[UUID]:
        """The jobs that the verb finds by tenant and type; it must change all of them."""
        found = {row[0] for row in self.connection.execute(
            "SELECT id FROM job_queue WHERE tenant_id = %s AND type = %s AND status::text = ANY(%s)",
            [tenant, type_, list(statuses)],
        )}  # fmt: skip
        which = JobFilter(tenant=tenant, type=type_, until=datetime.max.replace(tzinfo=UTC))
        run = Change(self.connection, verb, which, by="test", pause_seconds=0)
        assert [progress.changed for progress in run][-1] == len(found)
        return found

    @rule()
    def time_passes(self) -> None:
        self.connection.execute("UPDATE job_queue SET next_retry_at = now() WHERE status = 'pending'")

    @rule(tenant=st.sampled_from(TENANTS[2:]))
    def a_tenant_is_deleted(self, tenant: UUID) -> None:
        gone = {row[0] for row in self.connection.execute("SELECT id FROM job_queue WHERE tenant_id = %s", [tenant])}
        self.connection.execute("DELETE FROM tenants WHERE id = %s", [tenant])
        self.jobs -= gone
        self.ended = {id_: row for id_, row in self.ended.items() if id_ not in gone}
        self._taken_away(gone)

    @invariant()
    def no_job_is_lost_and_each_is_where_it_should_be(self) -> None:
        rows = {row[0]: row for row in self.connection.execute(
            "SELECT id, status::text, attempts FROM job_queue WHERE type <> 'elsewhere'")}  # fmt: skip
        assert rows.keys() == self.jobs
        running = {id_ for id_, status in ((id_, row[1]) for id_, row in rows.items()) if status == "processing"}
        assert running == {id_ for id_, _ in self.counts}
        assert {id_ for id_, row in rows.items() if row[1] in ("completed", "failed")} == self.ended.keys()
        # A claim beyond the limit exists only to fail its job, with the attempt not counted.
        assert all(0 <= row[2] <= POLICY.max_attempts + (row[1] == "processing") for row in rows.values())

    @invariant()
    def what_has_ended_stays_as_it_ended(self) -> None:
        assert all(self._row(id_) == row for id_, row in self.ended.items())

    @invariant()
    def no_tenant_exceeds_its_cap(self) -> None:
        rows = self.connection.execute("SELECT tenant_id FROM job_queue WHERE status = 'processing' AND type = ANY(%s)",
                                       [list(TYPES)])  # fmt: skip
        assert all(count <= CAP for count in Counter(rows).values())

    @invariant()
    def rows_of_other_consumers_are_untouched(self) -> None:
        assert self._foreign_rows() == self.foreign

    def teardown(self) -> None:
        for hand in self.hands:
            hand.queue.close()
        self.connection.close()

    def _taken_away(self, ids: set[UUID]) -> None:
        self.counts = {(id_, token) for id_, token in self.counts if id_ not in ids}

    def _row(self, id_: UUID) -> tuple | None:
        return self.connection.execute("SELECT * FROM job_queue WHERE id = %s", [id_]).fetchone()

    def _foreign_rows(self) -> tuple:
        return tuple(self.connection.execute("SELECT * FROM job_queue WHERE type = 'elsewhere'").fetchall())


def test_any_interleaving_keeps_every_promise(database):
    run_state_machine_as_test(
        lambda: Queue(database),
        settings=settings(max_examples=30, stateful_step_count=40, deadline=None, print_blob=True,
                          suppress_health_check=list(HealthCheck)),
    )  # fmt: skip
