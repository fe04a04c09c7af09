"""Handlers run in threads or on the event loop; a job that waits for a place can still be requeued."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from time import monotonic

import pytest

from jobtide import Tide
from jobtide.worker.in_flight import InFlight
from jobtide.worker.outcome import RetryPolicy
from jobtide.worker.runner import Runner
from tests.unit.worker.scripted import job_of


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_a_job_that_was_requeued_while_it_waited_is_never_run(kind):
    tide, in_flight, ends = Tide(), InFlight(60), SimpleQueue()
    begun, may_end, runs = threading.Event(), threading.Event(), []

    @tide.job("plain")
    def plain(payload):
        runs.append(payload)
        begun.set()
        assert may_end.wait(10)

    @tide.job("coroutine")
    async def coroutine(payload):
        runs.append(payload)
        begun.set()
        assert await asyncio.to_thread(may_end.wait, 10)

    runner = Runner(
        tide.handlers, in_flight, RetryPolicy(), threads=1, max_result_bytes=100, write=ends.put,
        free=lambda: ends.put("free"), emit=lambda event: None,
    )  # fmt: skip
    running, waiting = job_of(kind), job_of(kind)
    runner.start(running, monotonic(), active=1)
    assert begun.wait(10)
    runner.start(waiting, monotonic(), active=2)
    assert [claimed.job for claimed in in_flight.take_unstarted()] == [waiting]
    may_end.set()
    assert ends.get(timeout=10).job == running
    assert [ends.get(timeout=10) for _ in range(2)] == ["free", "free"]  # the second has no end to write
    assert len(runs) == 1
