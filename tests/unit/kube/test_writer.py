from __future__ import annotations

import pytest

from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.write.rate_limit import RateLimit
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import NotLeadingError
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.telemetry.events import Wrote
from tests.unit.kube.objects import Clock, Events, ScriptedApi, refused


def writer(api, events, *, leading=True, window=None):
    return Writer(api, events, leading=lambda: leading, window=window or Window())


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


async def test_every_answer_is_reported_with_its_code():
    events = Events()
    await writer(ScriptedApi(lambda *_: {}), events).create("event", "/x", {})

    def refuse(*_):
        raise refused(429)

    with pytest.raises(ApiError):
        await writer(ScriptedApi(refuse), events).apply("template", "/x", {}, manager="m")
    assert [(event.what, event.code) for event in events.of(Wrote)] == [("event", 200), ("template", 429)]


async def test_every_answer_widens_or_narrows_the_window():
    window = Window()
    await writer(ScriptedApi(lambda *_: {}), Events(), window=window).create("event", "/x", {})

    def refuse(*_):
        raise refused(429, retry_after_seconds=5)

    assert not window.opens_in_seconds
    with pytest.raises(ApiError):
        await writer(ScriptedApi(refuse), Events(), window=window).create("event", "/x", {})
    assert window.opens_in_seconds


def test_what_may_be_left_out_has_a_burst_and_then_a_rate():
    clock = Clock()
    pace = RateLimit(per_second=1, burst=2, monotonic=clock)
    assert [pace.try_take() for _ in range(3)] == [True, True, False]
    clock.pass_(1)
    assert pace.try_take()
