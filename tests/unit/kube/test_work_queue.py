from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from jobtide_controller.api.base import PoolRef
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import (
    OVERDUE_SECONDS,
    RACES,
    GoneError,
    NotLeadingError,
    Priority,
    Retry,
    WriteQueue,
    WriteRequest,
)
from jobtide_controller.telemetry.events import Failed, WriteFailed
from tests.unit.kube.objects import Clock, Events, refused, settle


class Recorder:
    """Requests whose run is recorded, and can be held up or made to fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.running: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: dict[str, list[Exception]] = {}
        self.results: list[object] = []

    def request(self, name, *, uid="a", kind="fleet", priority=Priority.CHANGE, version=None):
        async def run() -> None:
            self.running.append(name)
            await self.gate.wait()
            if self.errors.get(name):
                raise self.errors[name].pop(0)
            self.done.append(name)

        return WriteRequest(uid, PoolRef("ns", uid), kind, priority, run, self.results.append, version)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def events():
    return Events()


@pytest.fixture
def queue(clock, events):
    return WriteQueue(events, Window(least=2, most=2, monotonic=clock), retry=Retry(0.2, 30.0), monotonic=clock)


async def test_the_most_urgent_request_goes_first(queue):
    recorder = Recorder()
    recorder.gate.clear()
    queue.submit(recorder.request("x", uid="x"))
    queue.submit(recorder.request("y", uid="y"))
    queue.submit(recorder.request("status", uid="1", kind="status", priority=Priority.STATUS))
    queue.submit(recorder.request("down", uid="2", priority=Priority.SCALE_DOWN))
    queue.submit(recorder.request("up", uid="3", priority=Priority.SCALE_UP))
    await settle()
    recorder.gate.set()
    await settle()
    assert recorder.done == ["x", "y", "up", "down", "status"]


async def test_one_pool_has_one_write_in_flight(queue):
    recorder = Recorder()
    recorder.gate.clear()
    queue.submit(recorder.request("fleet"))
    queue.submit(recorder.request("status", kind="status"))
    await settle()
    assert recorder.running == ["fleet"]
    recorder.gate.set()
    await settle()
    assert recorder.done == ["fleet", "status"]


async def test_no_more_are_in_flight_than_the_window_has_room_for(queue):
    recorder = Recorder()
    recorder.gate.clear()
    for number in range(5):
        queue.submit(recorder.request(str(number), uid=str(number)))
    await settle()
    assert recorder.running == ["0", "1"]
    recorder.gate.set()
    await settle()
    assert len(recorder.done) == 5


async def test_a_newer_request_replaces_the_one_that_waits(queue):
    recorder = Recorder()
    recorder.gate.clear()
    queue.submit(recorder.request("first"))
    await settle()
    for number in range(100):
        queue.submit(recorder.request(f"newer {number}"))
    assert len(queue) == 1
    recorder.gate.set()
    await settle()
    assert recorder.done == ["first", "newer 99"]


async def test_a_request_that_became_urgent_moves_ahead(queue):
    recorder = Recorder()
    recorder.gate.clear()
    for name in ("x", "y"):
        queue.submit(recorder.request(name, uid=name))
    queue.submit(recorder.request("down", uid="1", priority=Priority.SCALE_DOWN))
    queue.submit(recorder.request("change", uid="2", priority=Priority.CHANGE))
    queue.submit(recorder.request("up after all", uid="1", priority=Priority.SCALE_UP))
    recorder.gate.set()
    await settle()
    assert recorder.done == ["x", "y", "up after all", "change"]


@pytest.mark.parametrize("code", [409, 429], ids=["lost races", "refusals of a busy server"])
async def test_a_few_lost_races_are_no_failure_and_many_are(queue, clock, events, code):
    recorder = Recorder()
    recorder.errors["request"] = [refused(code) for _ in range(RACES)]
    queue.submit(recorder.request("request"))
    await settle()
    for _ in range(RACES - 2):
        clock.pass_(30)
        queue._pump()
        await settle()
    assert (events.of(WriteFailed), recorder.results) == ([], [])
    clock.pass_(30)
    queue._pump()
    await settle()
    assert len(events.of(WriteFailed)) == 1
    assert [result is None for result in recorder.results] == [False]


@pytest.mark.parametrize("code", [0, 422, 500, 503], ids=str)
async def test_a_refused_request_is_tried_again_later(queue, clock, events, code):
    recorder = Recorder()
    recorder.errors["request"] = [refused(code)]
    queue.submit(recorder.request("request"))
    await settle()
    assert recorder.done == []
    failed = events.of(WriteFailed)
    assert 0.1 <= failed[0].retry_seconds <= 0.2
    clock.pass_(0.2)
    queue._pump()
    await settle()
    assert recorder.done == ["request"]
    assert [result is None for result in recorder.results] == [False, True]


async def test_retries_come_by_themselves(events):
    queue, recorder = WriteQueue(events, Window(), retry=Retry(0.01, 0.02)), Recorder()
    recorder.errors["request"] = [refused(503), refused(503)]
    queue.submit(recorder.request("request"))
    for _ in range(1000):
        if recorder.done:
            break
        await asyncio.sleep(0.005)
    assert recorder.done == ["request"]
    assert len(events.of(WriteFailed)) == 2


async def test_pauses_double_up_to_the_longest_and_obey_the_server():
    retry = Retry(0.2, 30.0)
    assert all(0.1 <= retry.seconds(1, refused(503)) <= 0.2 for _ in range(100))
    assert all(0.8 <= retry.seconds(4, refused(503)) <= 1.6 for _ in range(100))
    assert all(15 <= retry.seconds(50, refused(503)) <= 30 for _ in range(100))
    assert retry.seconds(1, refused(429, retry_after_seconds=7)) == 7
    assert retry.seconds(1, refused(429, retry_after_seconds=3600)) == 30


async def test_the_same_request_again_does_not_get_round_the_pause(queue, clock):
    recorder = Recorder()
    recorder.errors["request"] = [refused(422)] * 9
    for _ in range(50):
        queue.submit(recorder.request("request", version=(1, 3)))
        await settle()
    assert recorder.running == ["request"]


async def test_a_request_for_something_else_does_not_wait_for_the_pause_of_the_old_one(queue):
    recorder = Recorder()
    recorder.errors["old"] = [refused(422)]
    queue.submit(recorder.request("old", version=(1, 3)))
    await settle()
    queue.submit(recorder.request("new", version=(2, 3)))
    await settle()
    assert recorder.done == ["new"]


async def test_a_retry_is_superseded_by_a_newer_request(queue, clock):
    recorder = Recorder()
    recorder.errors["old"] = [refused(503)]
    queue.submit(recorder.request("old", version=1))
    await settle()
    queue.submit(recorder.request("new", version=1))
    await settle()
    assert recorder.done == []
    clock.pass_(1)
    queue._pump()
    await settle()
    assert recorder.done == ["new"]


async def test_a_failing_pool_stops_no_other(queue):
    recorder = Recorder()
    recorder.errors["bad"] = [refused(500)] * 99
    queue.submit(recorder.request("bad", uid="bad", priority=Priority.SCALE_UP))
    for number in range(20):
        queue.submit(recorder.request(str(number), uid=str(number)))
    await settle()
    await settle()
    assert len(recorder.done) == 20


@pytest.mark.parametrize("error", [NotLeadingError(), GoneError()], ids=["not leading", "gone"])
async def test_what_became_pointless_is_let_go(queue, events, error):
    recorder = Recorder()
    recorder.errors["request"] = [error]
    queue.submit(recorder.request("request"))
    await settle()
    assert len(queue) == 0
    assert events.seen == []


async def test_a_bug_in_one_write_is_reported_and_stops_no_other(queue, events):
    recorder = Recorder()
    recorder.errors["bug"] = [RuntimeError("no such thing")]
    queue.submit(recorder.request("bug", uid="bug"))
    queue.submit(recorder.request("good", uid="good"))
    await settle()
    assert recorder.done == ["good"]
    assert "no such thing" in events.of(Failed)[0].traceback


async def test_what_waits_too_long_gets_one_write_in_four(queue, clock):
    recorder = Recorder()
    recorder.gate.clear()
    for name in ("x", "y"):
        queue.submit(recorder.request(name, uid=name))
    for number in range(2):
        queue.submit(recorder.request(f"status {number}", uid=f"s{number}", kind="status", priority=Priority.STATUS))
    clock.pass_(OVERDUE_SECONDS)
    for number in range(8):
        queue.submit(recorder.request(f"up {number}", uid=f"{number}", priority=Priority.SCALE_UP))
    recorder.gate.set()
    await settle()
    ups = iter(f"up {number}" for number in range(8))
    first, second = [next(ups)], [next(ups) for _ in range(3)]
    assert recorder.done == ["x", "y", *first, "status 0", *second, "status 1", *ups]


async def test_what_waits_is_not_overdue_at_once(queue, clock):
    recorder = Recorder()
    recorder.gate.clear()
    for name in ("x", "y"):
        queue.submit(recorder.request(name, uid=name))
    queue.submit(recorder.request("status", uid="s", kind="status", priority=Priority.STATUS))
    clock.pass_(OVERDUE_SECONDS - 1)
    for number in range(8):
        queue.submit(recorder.request(f"up {number}", uid=f"{number}", priority=Priority.SCALE_UP))
    recorder.gate.set()
    await settle()
    assert recorder.done[-1] == "status"


async def test_an_overdue_write_still_waits_for_the_other_one_of_its_pool(queue, clock):
    recorder = Recorder()
    recorder.gate.clear()
    queue.submit(recorder.request("fleet", uid="a"))
    queue.submit(recorder.request("status", uid="a", kind="status", priority=Priority.STATUS))
    clock.pass_(OVERDUE_SECONDS)
    for number in range(8):
        queue.submit(recorder.request(f"up {number}", uid=f"{number}", priority=Priority.SCALE_UP))
        await settle()
    assert recorder.running == ["fleet", "up 0"]
    recorder.gate.set()
    await settle()
    assert sorted(recorder.done) == sorted(["fleet", "status", *(f"up {number}" for number in range(8))])


async def test_nothing_starts_before_the_api_server_wants_to_hear_of_us_again(events):
    window, written = Window(), asyncio.Event()
    queue, recorder = WriteQueue(events, window), Recorder()
    window.note(time.monotonic(), refused(429, retry_after_seconds=0.02))
    queue.submit(replace(recorder.request("request"), on_result=lambda _: written.set()))
    assert len(queue) == 1
    await written.wait()
    assert window.opens_in_seconds == 0


@pytest.mark.parametrize("looks", range(6))
async def test_a_window_that_opens_while_the_queue_looks_at_it_is_not_missed(events, looks):
    class Opening(Clock):
        """A nanosecond passes whenever it is looked at."""

        def __call__(self) -> float:
            self.pass_(1e-9)
            return self.now

    clock = Opening()
    window, written = Window(monotonic=clock), asyncio.Event()
    window.note(clock(), refused(429, retry_after_seconds=1))
    clock.pass_(1 - (looks + 0.5) * 1e-9)
    queue = WriteQueue(events, window, monotonic=clock)
    queue.submit(replace(Recorder().request("request"), on_result=lambda _: written.set()))
    await written.wait()


async def test_a_request_that_is_repeated_while_it_waits_for_its_retry_takes_no_more_room(queue, clock):
    recorder = Recorder()
    recorder.errors["request"] = [refused(503, retry_after_seconds=30)]
    queue.submit(recorder.request("request"))
    await settle()
    before = len(queue._later)
    for _ in range(100):
        queue.submit(recorder.request("request"))
    assert len(queue._later) == before
    clock.pass_(30)
    queue.submit(recorder.request("request"))
    await settle()
    assert recorder.done == ["request"]


async def test_idle_waits_for_what_is_on_its_way(queue):
    recorder = Recorder()
    recorder.gate.clear()
    queue.submit(recorder.request("request"))
    waiting = asyncio.create_task(queue.idle())
    await settle()
    assert not waiting.done()
    recorder.gate.set()
    await waiting
    assert recorder.done == ["request"]
