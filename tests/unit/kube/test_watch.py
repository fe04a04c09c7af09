"""What of the watch needs no API server: kopf's settings, and the hand-over of events between two threads."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import threading

import pytest

from jobtide_controller.kube.inventory.watch import (
    EVENTS_AT_ONCE,
    HandOver,
    end_of,
    operator_settings,
    run_and_abandon,
)
from tests.unit.kube.objects import settle

LAST = "last"


def test_the_watch_never_gives_up_on_an_unreachable_api_server():
    backoffs = operator_settings().networking.error_backoffs
    assert sum(itertools.islice(backoffs, 1000)) > 3600
    assert next(iter(backoffs)) == next(iter(backoffs)), "each request begins with the shortest pause"


class GaveUpError(Exception):
    """As kopf ends at an error that it does not know."""


async def _give_up() -> None:
    raise GaveUpError


async def _refuse_to_end() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def _give_up_beside_a_task_that_refuses_to_end() -> None:
    ending = asyncio.create_task(_refuse_to_end())
    await end_of([asyncio.create_task(_give_up()), ending], ending, seconds=0.01)


def test_a_task_of_kopf_that_refuses_to_end_does_not_keep_the_watch_from_its_restart(caplog):
    with pytest.raises(GaveUpError):
        run_and_abandon(_give_up_beside_a_task_that_refuses_to_end())
    gc.collect()
    assert caplog.records == []


class Loop:
    """The running event loop, with a count of the wake-ups from other threads."""

    def __init__(self) -> None:
        self.wake_ups = 0
        self._loop = asyncio.get_running_loop()
        self.call_soon = self._loop.call_soon

    def call_soon_threadsafe(self, callback) -> None:
        self.wake_ups += 1
        self._loop.call_soon_threadsafe(callback)


class Handled(list):
    """The names of the events that were handled; `wait` ends after the one called LAST."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = asyncio.Event()

    def __call__(self, handle, raw) -> None:
        handle(raw)
        self.append(raw["name"])
        if raw["name"] == LAST:
            self._ended.set()

    async def wait(self) -> None:
        async with asyncio.timeout(10):
            await self._ended.wait()


@pytest.fixture
async def handled():
    return Handled()


@pytest.fixture
async def loop():
    return Loop()


@pytest.fixture
async def hand_over(handled, loop):
    return HandOver(handled, loop)


def put(hand_over, *names, handle=lambda raw: None):
    for name in names:
        hand_over.put(handle, {"name": name})


async def test_events_of_another_thread_are_handled_in_their_order(hand_over, handled):
    names = [*range(20 * EVENTS_AT_ONCE), LAST]
    thread = threading.Thread(target=put, args=(hand_over, *names))
    thread.start()
    await handled.wait()
    thread.join()
    assert handled == names


async def test_many_waiting_events_wake_the_loop_once(hand_over, handled, loop):
    put(hand_over, *range(3 * EVENTS_AT_ONCE), LAST)
    await handled.wait()
    assert loop.wake_ups == 1
    put(hand_over, "later")
    await settle()
    assert (loop.wake_ups, handled[-1]) == (2, "later")


async def test_a_handler_that_raises_stops_no_other_event(hand_over, handled):
    def fail(raw):
        raise KeyError(raw["name"])

    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"].args))
    put(hand_over, "before")
    put(hand_over, "first", "second", handle=fail)
    put(hand_over, LAST)
    await handled.wait()
    assert (handled, failures) == (["before", LAST], [("first",), ("second",)])


async def test_the_loop_runs_other_callbacks_between_two_batches(hand_over, handled):
    put(hand_over, *range(2 * EVENTS_AT_ONCE), LAST)
    seen = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(len(handled)))
    await handled.wait()
    assert seen == [EVENTS_AT_ONCE]


@pytest.mark.parametrize("waiting", [0, 1, EVENTS_AT_ONCE], ids=lambda number: f"{number} others wait")
async def test_an_event_that_is_put_while_another_is_handled_is_not_lost(hand_over, handled, waiting):
    def put_from_another_thread(_):
        thread = threading.Thread(target=put, args=(hand_over, LAST))
        thread.start()
        thread.join()

    put(hand_over, "first", handle=put_from_another_thread)
    put(hand_over, *range(waiting))
    await handled.wait()
    assert handled == ["first", *range(waiting), LAST]
