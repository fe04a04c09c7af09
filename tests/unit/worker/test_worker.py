"""The loop claims the jobs that can start now, and drains without losing any."""

from __future__ import annotations

import asyncio
import math
import threading
from queue import SimpleQueue
from time import monotonic

import pytest

from jobtide import Tide
from jobtide.errors import JobtideError, TableUnusable
from jobtide.job import End
from jobtide.queue.claims import Claim
from jobtide.telemetry.events import Claimed, ClaimsPaused, ClaimsResumed, DatabaseBack, DatabaseLost, Drained, Handled
from tests.unit.worker.scripted import WAIT_SECONDS, Rig, ScriptedQueue, job_of


@pytest.fixture
def gate():
    """Holds handlers of type `gated` until it is set; released at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def begun():
    """The type of each handler of `gated`, `stubborn` and `coroutine` that has been called."""
    return SimpleQueue()


@pytest.fixture
def tide(gate, begun):
    tide = Tide()

    @tide.job("quick")
    def quick(payload):
        return {"done": payload}

    @tide.job("gated")
    def gated(payload, ctx):
        begun.put("gated")
        while not (gate.wait(0.01) or ctx.cancelled):
            pass
        return "cancelled" if ctx.cancelled else "through"

    @tide.job("stubborn")
    def stubborn(payload):
        begun.put("stubborn")
        gate.wait()

    @tide.job("coroutine", timeout_seconds=30)
    async def coroutine(payload):
        begun.put("coroutine")
        await asyncio.sleep(payload or 0)
        return "async"

    @tide.job("broken", max_attempts=2)
    def broken(payload):
        raise ValueError("broken")

    return tide


def finish(rig: Rig) -> int:
    """Runs the worker until every due job has ended, then stops it; its exit code."""
    codes: list[int] = []
    jobs = len(rig.queue.due)
    thread = threading.Thread(target=lambda: codes.append(rig.worker.run()), daemon=True)
    thread.start()
    rig.wait_for(lambda: len(rig.queue.ends) == jobs)
    rig.worker.stop()
    thread.join(WAIT_SECONDS)
    assert codes, "the worker did not stop"
    return codes[0]


def statuses(rig: Rig) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for end in rig.queue.ends.values():
        found.setdefault(end.job.type, []).append(end.reason)
    return found


def test_every_job_is_run_and_ended(tide):
    rig = Rig(tide, ScriptedQueue(*(job_of("quick") for _ in range(50)), *(job_of("coroutine") for _ in range(5))))
    assert finish(rig) == 0
    assert statuses(rig) == {"quick": ["completed"] * 50, "coroutine": ["completed"] * 5}


def test_a_claim_asks_for_no_more_than_can_start(tide, gate):
    rig = Rig(tide, ScriptedQueue(*(job_of("gated") for _ in range(9))), slots=3)
    assert [rig.worker.run_once(monotonic()) for _ in range(3)] == [0, 0, math.inf]
    assert (rig.queue.asked, len(rig.in_flight)) == ([3, 2], 3)


def test_an_empty_queue_is_polled_ever_less_often_and_after_a_job_often_again(tide):
    rig = Rig(tide, ScriptedQueue(), slots=1)
    rig.worker._poll_seconds = 1.0
    waits = [rig.worker.run_once(monotonic()) for _ in range(6)]
    for wait, longest in zip(waits, [0.1, 0.2, 0.4, 0.8, 1, 1], strict=True):
        assert longest / 2 <= wait <= longest
    rig.queue.due.append(job_of("quick"))
    rig.worker.run_once(monotonic())
    rig.worker._next_mail(WAIT_SECONDS)
    assert rig.worker.run_once(monotonic()) <= 0.1


def test_a_job_whose_attempts_are_used_up_is_not_run(tide):
    spent = job_of("broken", attempt=3, result={"error": {"message": "killed"}})
    rig = Rig(tide, ScriptedQueue(spent))
    finish(rig)
    assert (rig.queue.ends[spent.id].status, rig.queue.ends[spent.id].gives_back) == ("failed", True)
    assert not rig.seen(Handled)


def test_an_outage_of_the_database_is_reported_once_and_waited_out(tide):
    rig = Rig(tide, ScriptedQueue())
    rig.worker.run_once(monotonic())
    assert rig.worker.health.polled
    rig.queue.unreachable = True
    now = monotonic()
    for _ in range(5):
        now += rig.worker.run_once(now)
    assert not rig.worker.health.polled
    assert rig.worker.health.refusal == rig.events[0].message
    rig.queue.unreachable = False
    rig.worker.run_once(now)
    assert rig.worker.health.polled
    assert [type(event) for event in rig.events] == [DatabaseLost, DatabaseBack]


def test_an_unusable_table_stops_a_worker_at_its_start(tide, monkeypatch):
    rig = Rig(tide, ScriptedQueue())
    monkeypatch.setattr(rig.queue, "claim", raising(TableUnusable("no table job_queue")))
    with pytest.raises(TableUnusable, match="no table job_queue"):
        rig.worker.run_once(monotonic())


def test_a_table_that_disappears_later_is_waited_for(tide, monkeypatch):
    rig = Rig(tide, ScriptedQueue())
    rig.worker.run_once(monotonic())
    monkeypatch.setattr(rig.queue, "claim", raising(TableUnusable("no table job_queue")))
    assert rig.worker.run_once(monotonic()) > 0
    assert [event.message for event in rig.seen(DatabaseLost)] == ["no table job_queue"]


def test_a_stopped_worker_finishes_what_runs_and_claims_nothing_more(tide, gate, begun):
    running, waiting = job_of("gated"), job_of("quick")
    rig = Rig(tide, ScriptedQueue(running), slots=1)
    thread = rig.run_in_thread()
    begun.get(timeout=WAIT_SECONDS)
    rig.worker.stop()
    rig.queue.due.append(waiting)
    gate.set()
    thread.join(WAIT_SECONDS)
    assert rig.queue.ends[running.id].result == '"through"'
    assert list(rig.queue.due) == [waiting]


def test_a_handler_that_outlives_the_drain_time_is_cancelled_and_may_still_return(tide, begun):
    rig = Rig(tide, ScriptedQueue(job_of("gated")), slots=1, drain_seconds=0)
    thread = rig.run_in_thread()
    begun.get(timeout=WAIT_SECONDS)
    rig.worker.stop()
    thread.join(WAIT_SECONDS)
    (end,) = rig.queue.ends.values()
    assert (end.reason, end.result) == ("completed", '"cancelled"')


def test_a_second_signal_requeues_running_jobs_at_once_with_their_attempt(tide, gate, begun):
    held = job_of("stubborn")
    rig = Rig(tide, ScriptedQueue(held), slots=1, drain_seconds=600)
    thread = rig.run_in_thread()
    begun.get(timeout=WAIT_SECONDS)
    rig.worker.stop()
    rig.worker.stop()
    thread.join(WAIT_SECONDS)
    end = rig.queue.ends[held.id]
    assert (end.status, end.gives_back, end.reason) == ("pending", True, "returned")
    assert rig.seen(Drained)[0].requeued == 1


def test_a_result_that_comes_after_its_job_was_requeued_is_dropped(tide, gate, begun):
    held = job_of("stubborn")
    rig = Rig(tide, ScriptedQueue(held), slots=1, drain_seconds=0)
    thread = rig.run_in_thread()
    begun.get(timeout=WAIT_SECONDS)
    rig.worker.stop()
    rig.worker.stop()
    thread.join(WAIT_SECONDS)
    gate.set()
    rig.wait_for(lambda: rig.seen(Handled))
    assert rig.queue.ends[held.id].status == "pending"


def test_jobs_that_were_claimed_ahead_and_not_started_are_requeued_before_the_drain(tide, gate, begun):
    jobs = [job_of("gated") for _ in range(4)]
    rig = Rig(tide, ScriptedQueue(*jobs), slots=4)
    rig.runner.threads = 1  # three of the four wait for the one thread
    thread = rig.run_in_thread()
    begun.get(timeout=WAIT_SECONDS)
    rig.wait_for(lambda: sum(len(event.jobs) for event in rig.seen(Claimed)) == 4)
    rig.worker.stop()
    rig.wait_for(lambda: len(rig.queue.ends) == 3)
    gate.set()
    thread.join(WAIT_SECONDS)
    assert sorted(end.reason for end in rig.queue.ends.values()) == ["completed", "returned", "returned", "returned"]


def test_a_drain_requeues_coroutines_that_outlive_it(tide, begun):
    rig = Rig(tide, ScriptedQueue(job_of("coroutine", payload=600)), slots=1, drain_seconds=0)
    thread = rig.run_in_thread()
    begun.get(timeout=WAIT_SECONDS)
    rig.worker.stop()
    thread.join(WAIT_SECONDS)
    (end,) = rig.queue.ends.values()
    assert (end.status, end.gives_back) == ("pending", True)


def test_a_handler_that_is_cancelled_for_its_timeout_is_retried_and_its_error_says_why(tide, begun):
    endless = job_of("coroutine", payload=600)
    rig = Rig(tide, ScriptedQueue(endless), slots=1)
    thread = rig.run_in_thread()
    begun.get(timeout=WAIT_SECONDS)
    rig.worker.stop()
    rig.in_flight.all()[0].context.cancel("timeout")
    thread.join(WAIT_SECONDS)
    assert rig.queue.ends[endless.id].reason == "retried"
    assert "TimeoutError" in rig.queue.ends[endless.id].result


def raising(error):
    def call(*_args):
        raise error

    return call


@pytest.mark.parametrize(
    ("took_seconds", "least", "most"),
    [
        pytest.param(0.001, 0.05, 0.1, id="a quick poll: the usual tenth of a second"),
        pytest.param(0.5, 1.0, 2.0, id="a slow poll: four times as long"),
        pytest.param(60.0, 5.0, 10.0, id="never longer than ten seconds"),
    ],
)
def test_slow_polls_come_less_often(tide, took_seconds, least, most):
    worker = Rig(tide, ScriptedQueue(), poll_seconds=1.0).worker
    assert least <= worker._idle_after(Claim([], worker._ring, 1, drained=True), took_seconds) <= most


@pytest.mark.parametrize(
    ("took_seconds", "wait_seconds"),
    [
        pytest.param(0.001, 0.02, id="quick: the time until the next search"),
        pytest.param(0.5, 2.0, id="slow: four times as long, as between polls"),
    ],
)
def test_a_poll_goes_on_with_the_next_search_before_low_water_marks(tide, took_seconds, wait_seconds):
    worker = Rig(tide, ScriptedQueue(), poll_seconds=10.0).worker
    worker._idle_seconds = 8.0
    claim = Claim([], worker._ring, 1, drained=True, search_seconds=0.02)
    assert worker._idle_after(claim, took_seconds) == wait_seconds
    assert worker._idle_seconds == 8.0  # no empty poll yet: the next one is not put off


def test_a_wake_up_ends_the_wait_of_an_idle_worker(tide):
    worker = Rig(tide, ScriptedQueue()).worker
    idle = threading.Thread(target=worker._wait, args=(math.inf,), daemon=True)
    idle.start()
    worker._mailbox.put("woken")
    idle.join(4)  # without a wake-up it waits 5 s
    assert not idle.is_alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_whose_finisher_died_exits_since_no_job_could_end(tide):
    class Broken(ScriptedQueue):
        def finish(self, ends):
            raise ZeroDivisionError

    rig = Rig(tide, Broken(job_of("quick")))
    with pytest.raises(JobtideError, match="the thread that writes ends has died"):
        rig.worker.run()


def test_claims_stop_while_ends_are_not_written_and_go_on_afterwards(tide):
    rig = Rig(tide, ScriptedQueue())
    rig.worker.run_once(monotonic())
    end = rig.finisher.backlog.add(End(job_of("quick"), "completed", "1"))
    later = monotonic() + 10
    asked = len(rig.queue.asked)
    for tick in range(5):
        assert 0 < rig.worker.run_once(later + tick) < 1
    assert len(rig.queue.asked) == asked
    assert rig.worker.health.unwritten(later) == "the ends of 1 jobs have waited 10 s to be written"
    assert rig.queue.closed
    rig.finisher.backlog.remove([end])
    rig.finisher.backlog.oldest(None)
    rig.worker.run_once(later + 6)
    assert len(rig.queue.asked) == asked + 1
    assert rig.worker.health.unwritten(later) == ""
    assert [type(event) for event in rig.events if isinstance(event, ClaimsPaused | ClaimsResumed)] == [
        ClaimsPaused, ClaimsResumed,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ends", "size"), [pytest.param(1_000, 1, id="many ends"), pytest.param(20, 1 << 20, id="large ends")]
)
def test_a_full_backlog_stops_the_claims_without_an_event(tide, ends, size):
    rig = Rig(tide, ScriptedQueue(job_of("quick")))
    result = "x" * size
    waiting = [rig.finisher.backlog.add(End(job_of("quick"), "completed", result)) for _ in range(ends)]
    assert 0 < rig.worker.run_once(monotonic()) < 1
    assert rig.queue.asked == []
    rig.finisher.backlog.remove(waiting)
    rig.worker.run_once(monotonic())
    assert rig.queue.asked == [2]
    assert not rig.seen(ClaimsPaused)
