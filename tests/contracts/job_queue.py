"""What every JobQueue does, scripted or over PostgreSQL: each one's tests subclass JobQueueContract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from jobtide.context import Context
from jobtide.job import End, Job, suspicion_of
from jobtide.queue.job_queue import JobQueue, Rescued
from jobtide.queue.ring import Ring

RING = Ring(("a", "b"))
FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))  # tenants, in the order of the ring

STALE = [
    pytest.param({"token": "jobtide:pod-1:another"}, id="another claim's token"),
    pytest.param({"attempt": 2}, id="another attempt"),
]


class JobQueueContract:
    """A subclass has these fixtures, over one empty table for each test:

    queue    queue(pod_uid) -> a JobQueue, as a process of that pod has it
    add      add(type, tenant) -> the id of a new job, due now and later than those added before
    expire   expire(job): the lease of this claim ends
    """

    @pytest.fixture
    def one(self, queue: Callable[[str], JobQueue]) -> JobQueue:
        return queue("pod-1")

    @pytest.fixture
    def job(self, one, add) -> Job:
        """A job of FIRST, claimed by `one`."""
        add("a", FIRST)
        (job,) = one.claim(RING, 1, 1).jobs
        return job

    # claim

    def test_a_claim_takes_the_oldest_jobs_of_a_key_and_no_more_than_wanted(self, one, add):
        oldest = [add("a", FIRST) for _ in range(3)]
        add("a", FIRST)
        assert [job.id for job in one.claim(RING, 3, 9).jobs] == oldest

    def test_a_claim_goes_round_types_and_then_tenants_with_a_share_of_each(self, one, add):
        for type_, tenant in [("b", FIRST), ("a", SECOND), ("a", FIRST), ("a", FIRST), ("a", FIRST)]:
            add(type_, tenant)
        jobs = one.claim(RING, 9, 2).jobs
        assert [(job.type, job.tenant_id) for job in jobs] == [
            ("a", FIRST), ("a", FIRST), ("a", SECOND), ("b", FIRST),
        ]  # fmt: skip

    def test_the_next_claim_starts_behind_the_key_served_last(self, one, add):
        for tenant in (FIRST, SECOND, THIRD) * 2:
            add("a", tenant)
        ring, served = RING, []
        for _ in range(4):
            claim = one.claim(ring, 1, 1)
            ring = claim.ring
            served += [job.tenant_id for job in claim.jobs]
        assert served == [FIRST, SECOND, THIRD, FIRST]

    def test_the_next_share_is_what_the_keys_served_would_fill(self, one, add):
        for tenant in (FIRST, SECOND):
            add("a", tenant)
        assert one.claim(RING, 10, 1).rows_per_key == 5

    @pytest.mark.parametrize(
        ("due", "wanted", "per_key", "drained"),
        [
            pytest.param(0, 2, 1, True, id="nothing due"),
            pytest.param(1, 2, 2, True, id="less than wanted and less than a share"),
            pytest.param(1, 2, 1, False, id="a whole share: the key may have more"),
            pytest.param(2, 2, 3, False, id="all that was wanted"),
        ],
    )
    def test_a_claim_reports_the_queue_drained_only_if_no_key_can_have_more(
        self, one, add, due, wanted, per_key, drained
    ):
        for _ in range(due):
            add("a", FIRST)
        assert one.claim(RING, wanted, per_key).drained is drained

    def test_only_the_types_of_the_ring_are_claimed(self, one, add):
        add("c", FIRST)
        assert one.claim(RING, 9, 9).jobs == []

    def test_a_claimed_job_is_not_claimed_again(self, one, queue, job):
        assert one.claim(RING, 9, 9).jobs == []
        assert queue("pod-2").claim(RING, 9, 9).jobs == []

    def test_every_claim_counts_an_attempt_and_has_a_token_of_its_pod(self, one, add):
        for _ in range(2):
            add("a", FIRST)
        one, two = (job for _ in range(2) for job in one.claim(RING, 1, 1).jobs)
        assert (one.attempt, two.attempt) == (1, 1)
        assert one.token.startswith("jobtide:pod-1:")
        assert one.token != two.token

    # finish, confirm, extend: the fence

    def test_an_end_passes_once(self, one, job):
        assert one.finish([End(job, "completed", "1")]) == {job.id}
        assert one.finish([End(job, "failed", "2")]) == set()
        assert one.claim(RING, 9, 9).jobs == []

    def test_of_a_batch_only_the_ends_of_live_claims_pass(self, one, add, job):
        add("a", FIRST)
        (other,) = one.claim(RING, 1, 1).jobs
        one.finish([End(other, "completed", "1")])
        assert one.finish([End(other, "completed", "1"), End(job, "completed", "1")]) == {job.id}

    @pytest.mark.parametrize("change", STALE)
    def test_the_end_of_another_claim_does_not_pass(self, one, job, change):
        assert one.finish([End(replace(job, **change), "completed", "1")]) == set()
        assert one.finish([End(job, "completed", "1")]) == {job.id}

    @pytest.mark.parametrize(
        ("gives_back", "attempt"),
        [pytest.param(True, 1, id="requeued: not counted"), pytest.param(False, 2, id="retried: counted")],
    )
    def test_a_job_that_is_requeued_can_be_claimed_again(self, one, job, gives_back, attempt):
        assert one.finish([End(job, "pending", gives_back=gives_back)]) == {job.id}
        (again,) = one.claim(RING, 9, 9).jobs
        assert (again.id, again.attempt) == (job.id, attempt)

    def test_a_claim_holds_its_row_until_it_ends(self, one, job):
        assert one.held([job, replace(job, token="jobtide:pod-1:another")]) == {job.id}
        assert one.finish_unlocked([End(job, "completed", "1")]) == {job.id}
        assert one.held([job]) == set()

    def test_an_end_is_confirmed_once_it_is_written_and_only_to_its_claim(self, one, job):
        end = End(job, "completed", "1")
        assert one.confirm([end]) == set()
        one.finish([end])
        assert one.confirm([end]) == {job.id}
        assert one.confirm([End(replace(job, token="jobtide:pod-1:another"), "completed", "1")]) == set()

    @pytest.mark.parametrize("change", STALE)
    def test_only_the_lease_of_a_live_claim_is_extended(self, one, job, change):
        assert one.extend([Context(job)]) == {job.id}
        assert one.extend([Context(replace(job, **change))]) == set()
        one.finish([End(job, "completed", "1")])
        assert one.extend([Context(job)]) == set()

    # rescue

    def test_expired_leases_return_their_job_as_a_suspect_and_count_once_it_runs_alone(self, one, queue, job, expire):
        two = queue("pod-2")
        for attempt, suspicion, then_alone in ((1, 1, False), (1, 2, False), (1, 2, True), (2, 2, True), (3, 2, True)):
            expire(job)
            assert one.rescue_expired(10) == [Rescued(job.id, "a", FIRST, attempt - 1)]
            (job,) = two.claim(RING, 9, 9).jobs
            assert (job.attempt, suspicion_of(job)) == (attempt, suspicion)
            if then_alone:
                runs_alone = Context(job)
                runs_alone.reported = '{"suspect": 3}'
                assert two.extend([runs_alone]) == {job.id}

    def test_a_claim_whose_job_was_rescued_changes_nothing_any_more(self, one, job, expire):
        expire(job)
        one.rescue_expired(10)
        one.claim(RING, 1, 1)
        assert one.finish([End(job, "completed", "1")]) == set()
        assert one.extend([Context(job)]) == set()
        assert one.confirm([End(job, "completed", "1")]) == set()

    def test_a_rescue_has_a_limit_and_leaves_leases_that_run(self, one, add, expire):
        for _ in range(4):
            add("a", FIRST)
        running, *expired = one.claim(RING, 4, 4).jobs
        for job in expired:
            expire(job)
        first, second = one.rescue_expired(2), one.rescue_expired(2)
        assert (len(first), len(second)) == (2, 1)
        assert {rescued.id for rescued in first + second} == {job.id for job in expired}
        assert one.extend([Context(running)]) == {running.id}

    def test_a_restarted_process_rescues_the_jobs_of_its_own_pod_alone(self, one, queue, add):
        for _ in range(2):
            add("a", FIRST)
        (mine,) = one.claim(RING, 1, 1).jobs
        (theirs,) = queue("pod-10").claim(RING, 1, 1).jobs  # pod-1 is a prefix of it
        assert one.rescue_own_pod() == [Rescued(mine.id, "a", FIRST, 0)]
        assert one.extend([Context(mine), Context(theirs)]) == {theirs.id}

    # close

    def test_a_closed_queue_opens_again_at_the_next_call(self, one, job):
        one.close()
        one.close()
        assert one.finish([End(job, "completed", "1")]) == {job.id}
