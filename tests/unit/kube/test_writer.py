from __future__ import annotations

import pytest

from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.write.rate_limit import RateLimit
from jobtide_controller.kube.write.work_queue import NotLeadingError
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.telemetry.events import Wrote
from tests.unit.kube.objects import Clock, Events, ScriptedApi, refused


def writer(api, events, *, leading=True, rate_limit=None):
    return Writer(api, events, leading=lambda: leading, rate_limit=rate_limit or RateLimit())


async def test_nothing_is_sent_without_the_lease():
    api = ScriptedApi(lambda *_: {})
    for write in (
        lambda it: it.apply("template", "/x", {}, manager="m"),
        lambda it: it.merge("cost", "/x", {}, manager="m"),
        lambda it: it.create("event", "/x", {}),
        lambda it: it.get("/x"),
    ):
        with pytest.raises(NotLeadingError):
            await write(writer(api, Events(), leading=False))
    assert api.requests == []


async def test_the_lease_is_checked_after_waiting_for_the_rate_limit():
    api, held = ScriptedApi(lambda *_: {}), [True]

    class LosesIt(RateLimit):
        async def wait(self) -> None:
            held[0] = False

    late = Writer(api, Events(), leading=lambda: held[0], rate_limit=LosesIt())
    with pytest.raises(NotLeadingError):
        await late.apply("template", "/x", {}, manager="m")
    assert api.requests == []


async def test_waiting_writes_take_no_tokens_when_the_lease_is_lost():
    pace = RateLimit(burst=5)
    late = writer(ScriptedApi(lambda *_: {}), Events(), leading=False, rate_limit=pace)
    for _ in range(100):
        with pytest.raises(NotLeadingError):
            await late.apply("template", "/x", {}, manager="m")
    assert pace.reserve() == 0


async def test_every_answer_is_reported_with_its_code():
    events = Events()
    await writer(ScriptedApi(lambda *_: {}), events).create("event", "/x", {})

    def refuse(*_):
        raise refused(429)

    with pytest.raises(ApiError):
        await writer(ScriptedApi(refuse), events).apply("template", "/x", {}, manager="m")
    assert [(event.what, event.code) for event in events.of(Wrote)] == [("event", 200), ("template", 429)]


def test_a_burst_is_sent_at_once_and_the_rest_at_the_rate():
    clock = Clock()
    pace = RateLimit(per_second=10, burst=3, monotonic=clock)
    assert [round(pace.reserve(), 3) for _ in range(5)] == [0, 0, 0, 0.1, 0.2]
    clock.pass_(1)
    assert pace.reserve() == 0


def test_a_write_that_may_be_left_out_waits_for_no_token():
    clock = Clock()
    pace = RateLimit(per_second=1, burst=2, monotonic=clock)
    assert [pace.try_take() for _ in range(3)] == [True, True, False]
    clock.pass_(1)
    assert pace.try_take()
