"""Every end, extension and requeue passes one fence: a claim that has lost its lease changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from jobtide.context import Context
from jobtide.job import End
from jobtide.queue.refusals import RowRefused
from jobtide.queue.ring import Ring
from jobtide.worker import outcome
from jobtide.worker.outcome import Moment

RING = Ring(("a",))
MOMENT = Moment(datetime(2026, 11, 24, tzinfo=UTC), 0.5)


@pytest.fixture
def one(queue):
    return queue("pod-1")


@pytest.fixture
def claimed(one, enqueue, tenant):
    """A new job, claimed by `one`."""
    enqueue("a", tenant(), {"n": 1})
    (job,) = one.claim(RING, 1, 1).jobs
    return job


def test_a_completed_job_keeps_its_token_and_has_its_answer(one, claimed, row):
    assert one.finish([outcome.returned(claimed, {"pages": 3}, 100, MOMENT)]) == {claimed.id}
    done = row(claimed.id)
    assert (done["status"], done["result"], done["worker_id"]) == ("completed", {"pages": 3}, claimed.token)
    assert done["completed_at"] is not None
    assert done["next_retry_at"] is None


def test_a_retried_job_waits_and_keeps_its_attempt_and_error(one, claimed, row):
    one.finish([End(claimed, "pending", json.dumps({"error": {"type": "X"}}), 30.0)])
    waiting = row(claimed.id)
    assert (waiting["status"], waiting["attempts"], waiting["completed_at"]) == ("pending", 1, None)
    assert timedelta(seconds=25) < waiting["next_retry_at"] - datetime.now(UTC) < timedelta(seconds=35)
    assert waiting["result"] == {"error": {"type": "X"}}


def test_a_requeued_job_is_due_at_once_with_its_attempt(one, claimed, row):
    one.finish([outcome.requeued(claimed)])
    back = row(claimed.id)
    assert (back["status"], back["attempts"], back["next_retry_at"]) == ("pending", 0, None)


def test_a_batch_ends_each_job_its_own_way(one, enqueue, tenant, row):
    ids = [enqueue("a", owner) for owner in [tenant()] for _ in range(3)]
    jobs = one.claim(RING, 3, 3).jobs
    ends = [
        End(jobs[0], "completed", "1"),
        End(jobs[1], "failed", '"no"'),
        End(jobs[2], "pending", None, 5.0, gives_back=True),
    ]
    assert one.finish(ends) == set(ids)
    assert [row(job.id)["status"] for job in jobs] == ["completed", "failed", "pending"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"token": "jobtide:pod-1:another"}, id="another claim's token"),
        pytest.param({"attempt": 2}, id="another attempt"),
    ],
)
def test_an_end_under_another_claim_is_refused(one, claimed, row, other):
    before = row(claimed.id)
    assert one.finish([End(replace(claimed, **other), "completed", "1")]) == set()
    assert row(claimed.id) == before


def test_a_zombie_is_refused_after_its_job_was_rescued_and_claimed_again(one, queue, claimed, expire, row):
    expire(claimed)
    assert [rescued.id for rescued in one.rescue_expired(10)] == [claimed.id]
    (again,) = queue("pod-2").claim(RING, 1, 1).jobs
    assert again.token != claimed.token
    assert one.finish([End(claimed, "completed", '"zombie"')]) == set()
    assert row(claimed.id)["worker_id"] == again.token


def test_a_job_of_a_deleted_tenant_is_a_lost_lease(one, claimed, connect):
    connect().execute("DELETE FROM tenants WHERE id = %s", [claimed.tenant_id])
    assert one.finish([End(claimed, "completed", "1")]) == set()


def test_a_value_that_the_server_refuses_changes_nothing_in_the_batch(one, enqueue, tenant, row):
    for owner in [tenant()]:
        enqueue("a", owner)
        enqueue("a", owner)
    good, bad = one.claim(RING, 2, 2).jobs
    with pytest.raises(RowRefused, match="overflow"):
        one.finish([End(good, "completed", "1"), End(bad, "completed", "1e140000")])
    assert row(good.id)["status"] == "processing"


def test_an_extended_lease_starts_again_and_stores_progress(one, claimed, row):
    context = Context(claimed)
    context.progress(0.25, "a quarter")
    before = row(claimed.id)["next_retry_at"]
    assert one.extend([context]) == {claimed.id}
    extended = row(claimed.id)
    assert extended["next_retry_at"] > before
    assert extended["result"] == {"progress": {"fraction": 0.25, "note": "a quarter"}}


def test_an_expired_lease_returns_the_job_with_its_attempt_given_back(one, claimed, expire, row):
    expire(claimed)
    one.rescue_expired(10)
    back = row(claimed.id)
    assert (back["status"], back["attempts"], back["next_retry_at"]) == ("pending", 0, None)
    assert (back["result"]["error"]["type"], back["result"]["error"]["attempt"]) == ("LeaseExpired", 1)


@pytest.mark.parametrize("worker_id", ["worker_1", "", None, "jobtides:x:y"], ids=repr)
def test_rows_of_other_consumers_are_never_rescued(one, enqueue, tenant, row, worker_id):
    past = datetime.now(UTC) - timedelta(hours=1)
    id_ = enqueue("a", tenant(), status="processing", worker_id=worker_id, next_retry_at=past)
    assert one.rescue_expired(10) == []
    assert one.rescue_own_pod() == []
    assert row(id_)["status"] == "processing"


def test_a_restarted_container_requeues_the_jobs_of_its_predecessor_and_no_others(queue, enqueue, tenant, row):
    owner = tenant()
    for _ in range(2):
        enqueue("a", owner)
    (mine,) = queue("pod-1").claim(RING, 1, 1).jobs
    (theirs,) = queue("pod-10").claim(RING, 1, 1).jobs
    assert [rescued.id for rescued in queue("pod-1").rescue_own_pod()] == [mine.id]
    assert (row(mine.id)["status"], row(mine.id)["attempts"]) == ("pending", 0)
    assert row(theirs.id)["status"] == "processing"


def test_a_claim_whose_lease_another_client_cleared_comes_back(queue, claimed, connect):
    connect().execute("UPDATE job_queue SET next_retry_at = NULL WHERE id = %s", [claimed.id])
    assert [rescued.id for rescued in queue("pod-2").rescue_expired(10)] == [claimed.id]


def test_a_rescue_skips_a_job_whose_end_is_being_written(one, queue, claimed, expire, connect, row):
    expire(claimed)
    finishing = connect(autocommit=False)
    finishing.execute("UPDATE job_queue SET status = 'completed' WHERE id = %s", [claimed.id])
    assert queue("pod-2").rescue_expired(10) == []
    finishing.commit()
    assert queue("pod-2").rescue_expired(10) == []
    assert row(claimed.id)["status"] == "completed"


def test_an_end_that_meets_a_rescue_under_way_waits_for_it_and_is_refused(one, claimed, connect, wait_until, row):
    rescuing = connect(autocommit=False)
    rescuing.execute("UPDATE job_queue SET status = 'pending', next_retry_at = NULL WHERE id = %s", [claimed.id])
    passed: list[set] = []
    ending = Thread(target=lambda: passed.append(one.finish([End(claimed, "completed", "1")])))
    ending.start()
    watching = connect()
    wait_until(
        lambda: watching.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone() is not None
    )
    assert not passed
    rescuing.commit()
    ending.join(10)
    assert passed == [set()]
    assert row(claimed.id)["status"] == "pending"
