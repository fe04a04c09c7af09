"""Every end passes the fence once, in batches; what can't be written is kept, refused or explained, never lost."""

from __future__ import annotations

import json
from time import monotonic

import pytest

from jobtide.job import End
from jobtide.queue.refusals import RowRefused
from jobtide.queue.session import DatabaseUnreachable
from jobtide.telemetry.events import DatabaseBack, DatabaseLost, EndRefused, Finished, LeaseLost, Overdue
from jobtide.worker.finisher import Finisher
from jobtide.worker.in_flight import InFlight
from tests.unit.worker.scripted import ScriptedQueue


@pytest.fixture
def queue():
    return ScriptedQueue()


@pytest.fixture
def events():
    return []


@pytest.fixture
def in_flight():
    return InFlight(lease_seconds=60)


@pytest.fixture
def finisher(queue, in_flight, events):
    return Finisher(queue, in_flight, events.append)


def done(queue: ScriptedQueue) -> End:
    return End(queue.hold(), "completed", "{}", reason="completed")


def one_pass(finisher: Finisher, now: float | None = None) -> None:
    finisher._collect(0)
    finisher.run_once(monotonic() if now is None else now)


def test_what_has_ended_is_written_in_one_batch(finisher, queue):
    for _ in range(7):
        finisher.put(done(queue))
    one_pass(finisher)
    assert queue.batches == [7]


def test_a_batch_has_a_limit_and_the_rest_follows(queue, in_flight, events):
    finisher = Finisher(queue, in_flight, events.append, batch=5)
    for _ in range(7):
        finisher.put(done(queue))
    one_pass(finisher)
    one_pass(finisher)
    assert queue.batches == [5, 2]


def test_an_end_that_the_fence_refuses_is_a_lost_lease(finisher, queue, events):
    late, fine = done(queue), done(queue)
    del queue.claimed[late.job.id]
    finisher.put(late)
    finisher.put(fine)
    one_pass(finisher)
    assert list(queue.ends) == [fine.job.id]
    assert [event.job for event in events if isinstance(event, LeaseLost)] == [late.job]
    assert [event.count for event in events if isinstance(event, Finished)] == [1]


def test_ends_wait_for_a_database_that_is_unreachable(finisher, queue):
    end = done(queue)
    finisher.put(end)
    queue.unreachable = True
    with pytest.raises(DatabaseUnreachable):
        one_pass(finisher)
    queue.unreachable = False
    one_pass(finisher)
    assert end.job.id in queue.ends


def test_an_end_whose_answer_was_lost_is_not_mistaken_for_a_lost_lease(finisher, queue, events):
    end = done(queue)
    finisher.put(end)
    queue.answers_lost = 1
    with pytest.raises(DatabaseUnreachable):
        one_pass(finisher)
    one_pass(finisher)
    assert end.job.id in queue.ends
    assert not [event for event in events if isinstance(event, LeaseLost)]


def test_a_result_that_the_server_refuses_fails_its_job_and_no_other(finisher, queue, events):
    bad, good = done(queue), done(queue)
    queue.refuse[bad.job.id] = RowRefused("numeric field overflow", "22003")
    finisher.put(bad)
    finisher.put(good)
    one_pass(finisher)
    one_pass(finisher)
    assert queue.ends[good.job.id].status == "completed"
    assert queue.ends[bad.job.id].status == "failed"
    assert json.loads(queue.ends[bad.job.id].result)["error"]["message"] == "numeric field overflow"
    assert [event.job for event in events if isinstance(event, EndRefused)] == [bad.job]


def test_a_lease_is_extended_at_a_third_and_not_before(finisher, in_flight, queue):
    start = monotonic()
    claimed = in_flight.add(queue.hold(), start, None)
    one_pass(finisher, now=start + 19)
    assert queue.extended == []
    one_pass(finisher, now=start + 21)
    assert queue.extended == [claimed.job.id]
    one_pass(finisher, now=start + 22)
    assert queue.extended == [claimed.job.id]


def test_a_lease_that_is_gone_cancels_its_handler(finisher, in_flight, queue, events):
    start = monotonic()
    claimed = in_flight.add(queue.hold(), start, None)
    del queue.claimed[claimed.job.id]
    one_pass(finisher, now=start + 30)
    assert claimed.context.cancelled
    assert in_flight.take(claimed.job) is None
    assert [event.during for event in events if isinstance(event, LeaseLost)] == ["extend"]


def test_a_handler_past_its_timeout_is_cancelled_and_reported_once(finisher, in_flight, queue, events):
    start = monotonic()
    claimed = in_flight.add(queue.hold(), start - 100, timeout_seconds=5)
    assert in_flight.newly_overdue(start) == []
    in_flight.start(claimed, start)
    one_pass(finisher, now=start + 4)
    assert not claimed.context.cancelled
    one_pass(finisher, now=start + 6)
    one_pass(finisher, now=start + 7)
    assert claimed.context.cancelled
    assert [event.job for event in events if isinstance(event, Overdue)] == [claimed.job]


def test_stopping_writes_what_is_left_and_closes_the_connection(finisher, queue):
    finisher.start()
    ends = [done(queue) for _ in range(20)]
    for end in ends:
        finisher.put(end)
    assert finisher.stop(timeout_seconds=10) == 0
    assert set(queue.ends) == {end.job.id for end in ends}
    assert queue.closed


def test_stopping_without_a_database_returns_how_many_ends_are_not_written(finisher, queue, events):
    queue.unreachable = True
    finisher.start()
    finisher.put(done(queue))
    finisher.put(done(queue))
    assert finisher.stop(timeout_seconds=0.3) == 2
    queue.unreachable = False
    finisher._thread.join(10)
    assert len(queue.ends) == 2
    assert [type(event) for event in events if isinstance(event, DatabaseLost | DatabaseBack)] == [
        DatabaseLost, DatabaseBack,
    ]  # fmt: skip
