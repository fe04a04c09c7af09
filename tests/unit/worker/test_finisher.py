"""Every end passes the fence once, in batches; what can't be written is kept, refused or explained, never lost."""

from __future__ import annotations

import json
from time import monotonic

import pytest

from jobtide.job import End
from jobtide.queue.refusals import RowRefused
from jobtide.queue.session import DatabaseUnreachable
from jobtide.telemetry.events import (
    DatabaseBack,
    DatabaseLost,
    EndGivenUp,
    EndRefused,
    Finished,
    LeaseLost,
    Overdue,
    RowLeft,
)
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


def test_the_claims_of_running_jobs_are_looked_at_together_and_a_cancelled_one_is_lost(
    finisher, in_flight, queue, events
):
    start = monotonic()
    cancelled, other = (in_flight.add(queue.hold(), start, None) for _ in range(2))
    del queue.claimed[cancelled.job.id]
    one_pass(finisher, now=start + 1)
    assert not cancelled.context.cancelled, "jobs shorter than that cost no look"
    one_pass(finisher, now=start + 1.6)
    assert (cancelled.context.cancelled, other.context.cancelled) == (True, False)
    assert [event.during for event in events if isinstance(event, LeaseLost)] == ["look"]
    assert queue.extended == []


def test_claims_are_looked_at_again_after_a_while_and_no_pass_waits_longer(finisher, in_flight, queue):
    start = monotonic()
    claimed = in_flight.add(queue.hold(), start, None)
    one_pass(finisher, now=start + 1.6)
    del queue.claimed[claimed.job.id]
    one_pass(finisher, now=start + 3)
    assert not claimed.context.cancelled
    assert finisher._wait_seconds(start + 3) <= 0.11
    one_pass(finisher, now=start + 3.2)
    assert claimed.context.cancelled


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


REFUSED = RowRefused("refused by the application", "P0001")
DEADLOCK = RowRefused("deadlock detected", "40P01")


def many(queue, finisher, count):
    ends = [done(queue) for _ in range(count)]
    for end in ends:
        finisher.put(end)
    return ends


def later(finisher, seconds):
    one_pass(finisher, monotonic() + seconds)


def left(events):
    return [event.id for event in events if isinstance(event, RowLeft)]


def test_one_refused_end_of_five_hundred_costs_about_twice_the_logarithm_in_statements(finisher, queue, events):
    ends = many(queue, finisher, 500)
    queue.refuse[ends[321].job.id] = REFUSED
    one_pass(finisher)
    assert len(queue.ends) == 499
    assert queue.statements <= 20
    one_pass(finisher)
    assert queue.ends[ends[321].job.id].status == "failed"


def test_a_refusal_that_may_pass_never_fails_its_job(finisher, queue, events):
    bad, good = many(queue, finisher, 2)
    queue.refuse[bad.job.id] = DEADLOCK
    for seconds in range(0, 600, 60):
        later(finisher, seconds)
    assert list(queue.ends) == [good.job.id]
    assert left(events) == [str(bad.job.id)]
    del queue.refuse[bad.job.id]
    later(finisher, 700)
    assert queue.ends[bad.job.id].status == "completed"


def test_a_refused_end_is_not_tried_in_a_busy_loop(finisher, queue):
    bad, _ = many(queue, finisher, 2)
    queue.refuse[bad.job.id] = DEADLOCK
    one_pass(finisher)
    tried = queue.statements
    for tenth in range(1, 4):
        later(finisher, tenth / 10)
    assert queue.statements == tried
    for second in range(600):
        later(finisher, second)
    assert queue.statements - tried < 60  # 30 of them extend its lease


def test_refused_ends_in_a_row_fail_no_end_behind_them(finisher, queue, events):
    many(queue, finisher, 1)
    one_pass(finisher)
    ends = many(queue, finisher, 16)  # the halving finds the first eight, then the other half is refused together
    bad = [*ends[:8], ends[-1]]
    queue.refuse.update({end.job.id: REFUSED for end in bad})
    one_pass(finisher)
    one_pass(finisher)
    assert [queue.ends[end.job.id].status for end in bad] == ["failed"] * 9
    assert {queue.ends[end.job.id].status for end in ends[8:-1]} == {"completed"}
    assert [event.job for event in events if isinstance(event, EndRefused)] == [end.job for end in bad]


def test_if_every_end_is_refused_some_are_tried_alone_and_the_rest_wait_with_them(finisher, queue, events):
    ends = many(queue, finisher, 400)
    queue.refuse.update({end.job.id: REFUSED for end in ends})
    one_pass(finisher)
    assert queue.statements < 40
    assert queue.ends == {}
    assert len(left(events)) == 400
    queue.refuse.clear()
    later(finisher, 2)
    later(finisher, 3)
    assert {end.status for end in queue.ends.values()} == {"completed"}
    assert len(queue.ends) == 400


def test_without_an_end_that_passes_a_job_fails_only_after_several_tries(finisher, queue, events):
    (bad,) = many(queue, finisher, 1)
    queue.refuse[bad.job.id] = REFUSED
    one_pass(finisher)
    later(finisher, 2)
    assert queue.ends == {}
    for seconds in range(4, 300, 2):
        later(finisher, seconds)
    assert queue.ends[bad.job.id].status == "failed"


def test_locked_rows_wait_and_the_others_are_written(finisher, queue, events):
    ends = many(queue, finisher, 50)
    queue.locked = {end.job.id for end in ends[:20]}
    one_pass(finisher)
    assert len(queue.ends) == 30
    assert queue.statements == 2
    queue.locked.clear()
    later(finisher, 2)
    later(finisher, 3)
    assert len(queue.ends) == 50
    assert not [event for event in events if isinstance(event, LeaseLost)]


def test_the_leases_of_ends_that_wait_are_extended(finisher, queue):
    bad, _ = many(queue, finisher, 2)
    queue.refuse[bad.job.id] = DEADLOCK
    one_pass(finisher)
    later(finisher, 19)
    assert bad.job.id not in queue.extended
    later(finisher, 21)
    assert queue.extended.count(bad.job.id) == 1


def test_a_refused_extension_is_tried_again_without_the_progress_and_reported_once(finisher, queue, in_flight, events):
    claimed, fine = (in_flight.add(queue.hold(), monotonic(), None) for _ in range(2))
    claimed.context.progress(0.5)
    queue.refuse[claimed.job.id] = REFUSED
    later(finisher, 21)
    assert queue.extended == [fine.job.id]
    claimed.context.progress(0.6)
    later(finisher, 27)
    later(finisher, 33)
    assert claimed.job.id in queue.extended
    assert left(events) == [str(claimed.job.id)]


def test_a_batch_is_bounded_by_the_bytes_of_its_results(finisher, queue):
    for _ in range(5):
        finisher.put(End(queue.hold(), "completed", "x" * 400_000))
    finisher.put(End(queue.hold(), "completed", "x" * 4_000_000))
    for _ in range(4):
        one_pass(finisher)
    assert queue.batches == [2, 2, 1, 1]


def test_refused_ends_are_bounded_and_the_oldest_are_given_up(finisher, queue, events):
    ends = many(queue, finisher, 510)
    queue.refuse.update({end.job.id: DEADLOCK for end in ends})
    one_pass(finisher)
    one_pass(finisher)
    assert [event.job for event in events if isinstance(event, EndGivenUp)] == [end.job for end in ends[:10]]
    assert finisher.backlog.count == 500


def test_stopping_tries_refused_ends_once_more_and_reports_what_is_left(finisher, queue):
    bad, mended = many(queue, finisher, 2)
    queue.refuse.update({end.job.id: DEADLOCK for end in (bad, mended)})
    one_pass(finisher)
    del queue.refuse[mended.job.id]
    finisher.start()
    assert finisher.stop(timeout_seconds=10) == 1
    assert list(queue.ends) == [mended.job.id]


def test_an_outage_that_only_a_rescue_noticed_lasts_until_the_database_answers(finisher, queue, events):
    queue.unreachable = True
    for second in (60, 61, 62):
        with pytest.raises(DatabaseUnreachable):
            finisher.run_once(monotonic() + second)
        finisher._outage.failed(DatabaseUnreachable("refused"), monotonic())
    queue.unreachable = False
    finisher.run_once(monotonic() + 63)
    assert [type(event) for event in events if isinstance(event, DatabaseLost | DatabaseBack)] == [
        DatabaseLost,
        DatabaseBack,
    ]


def test_stopping_does_not_wait_for_the_backoff_of_an_outage(finisher, queue):
    (end,) = many(queue, finisher, 1)
    for _ in range(10):
        finisher._outage.failed(DatabaseUnreachable("refused"), monotonic())
    finisher.start()
    assert finisher.stop(timeout_seconds=2) == 0
    assert end.job.id in queue.ends


def test_batches_become_smaller_while_the_database_gives_no_answer_and_then_grow_again(finisher, queue):
    many(queue, finisher, 1_000)
    queue.unreachable = True
    finisher._collect(0)
    for second in range(2):
        with pytest.raises(DatabaseUnreachable):
            finisher.run_once(monotonic() + 1_000 * second)
    queue.unreachable = False
    for second in range(5):
        finisher.run_once(monotonic() + 5_000 + second)
    assert queue.batches == [125, 250, 500, 125]


def test_refused_ends_survive_an_outage_while_they_are_tried(finisher, queue):
    ends = many(queue, finisher, 6)
    queue.refuse.update({end.job.id: DEADLOCK for end in ends})
    one_pass(finisher)
    queue.refuse.clear()
    queue.unreachable = True
    with pytest.raises(DatabaseUnreachable):
        later(finisher, 2)
    queue.unreachable = False
    later(finisher, 100)
    assert len(queue.ends) == 6
    assert finisher.backlog.count == 0


def test_an_end_that_a_refusal_held_up_does_not_count_as_a_stall_afterwards(finisher, queue):
    ends = many(queue, finisher, 20)
    queue.locked = {end.job.id for end in ends}
    one_pass(finisher)
    for waiting in finisher._refused:
        waiting.since -= 100
    queue.locked.clear()
    later(finisher, 2)
    finisher._collect(0)
    assert finisher.backlog.count > 0
    assert finisher.backlog.stalled_seconds(monotonic()) == 0
