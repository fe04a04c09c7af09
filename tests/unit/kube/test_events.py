from __future__ import annotations

from collections import Counter

import pytest

from jobtide_controller.api.base import PoolRef
from jobtide_controller.kube.api.client import NAMESPACE_TERMINATING, ApiError
from jobtide_controller.kube.write.events import SAME_SECONDS, EventRecorder
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import NotLeadingError, WriteQueue
from jobtide_controller.telemetry.events import (
    DatabaseLost,
    Decided,
    EventRefused,
    ObjectRejected,
    ReasonChanged,
    TypesUnserved,
)
from tests.unit.kube.objects import Clock, Events, refused, settle

THUMBS = PoolRef("media", "thumbs")


class Writer:
    def __init__(self) -> None:
        self.bodies: list[dict] = []
        self.error: Exception | None = None

    async def create(self, what, path, body):
        assert what == "event"
        assert path == f"/apis/events.k8s.io/v1/namespaces/{body['metadata']['namespace']}/events"
        if self.error:
            raise self.error
        self.bodies.append(body)
        return body


@pytest.fixture
def writer():
    return Writer()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def emitted():
    return Events()


@pytest.fixture
def recorder(writer, clock, emitted):
    queue = WriteQueue(emitted, Window(least=1000, most=1000), monotonic=clock)
    return EventRecorder(writer, emitted, submit=queue.submit, instance="jobtide-0", monotonic=clock)


def decided(before, after, pool=THUMBS):
    return Decided(pool, "uid", before, after, "ScalingUp", "100 due", ())


def lost(message="refused"):
    return ReasonChanged(THUMBS, "uid", "DatabaseReachable", False, "Unreachable", message)


async def test_a_scaling_is_an_event_with_its_reason(recorder, writer):
    recorder(decided(0, 4))
    await settle()
    (body,) = writer.bodies
    assert (body["type"], body["reason"], body["note"]) == ("Normal", "ScaledUp", "0 -> 4 workers: 100 due")
    assert body["regarding"]["uid"] == "uid"
    assert body["reportingInstance"] == "jobtide-0"


@pytest.mark.parametrize(
    ("event", "kind", "reason"),
    [
        (decided(4, 0), "Normal", "ScaledDown"),
        (lost(), "Warning", "Unreachable"),
        (ReasonChanged(THUMBS, "uid", "Ready", True, "Applied", ""), "Normal", "Applied"),
        (ObjectRejected("JobWorkerPool", THUMBS, "uid", "types: too few"), "Warning", "InvalidSpec"),
    ],
    ids=["down", "worse", "better", "invalid"],
)
async def test_each_kind_of_event_that_a_pool_has(recorder, writer, event, kind, reason):
    recorder(event)
    await settle()
    assert [(body["type"], body["reason"]) for body in writer.bodies] == [(kind, reason)]


async def test_what_concerns_no_single_pool_is_no_event(recorder, writer):
    recorder(DatabaseLost("main", "Timeout", "late"))
    await settle()
    assert writer.bodies == []


async def test_the_same_event_is_written_once_a_minute(recorder, writer, clock):
    for _ in range(5):
        recorder(lost())
    recorder(lost("another message"))
    clock.pass_(SAME_SECONDS)
    recorder(lost())
    await settle()
    assert len(writer.bodies) == 3


async def test_a_flood_is_cut_off(recorder, writer, clock):
    for number in range(1000):
        recorder(decided(number, number + 1))
    await settle()
    assert len(writer.bodies) == 25
    clock.pass_(1)
    for number in range(1000):
        recorder(decided(number, number + 1))
    await settle()
    assert len(writer.bodies) == 30


async def test_a_namespace_that_floods_leaves_the_others_their_events(recorder, writer):
    for number in range(1000):
        recorder(decided(number, number + 1, pool=PoolRef("flood", "p")))
        if number % 100 == 0:
            recorder(decided(number, number + 1))
    await settle()
    assert Counter(body["metadata"]["namespace"] for body in writer.bodies) == {"flood": 25, THUMBS.namespace: 10}


async def test_an_event_that_was_left_out_is_written_the_next_time(recorder, writer, clock):
    for number in range(26):
        recorder(lost(f"message {number}"))
    clock.pass_(1)
    recorder(lost("message 25"))
    recorder(lost("message 25"))
    await settle()
    assert [body["note"] for body in writer.bodies][-2:] == ["message 24", "message 25"]


async def test_a_long_note_is_cut_at_a_whole_character(recorder, writer):
    recorder(lost("é" * 2000))
    await settle()
    note = writer.bodies[0]["note"]
    assert len(note.encode()) <= 1024
    assert set(note) == {"é"}


async def test_a_refused_event_is_reported(recorder, writer, emitted):
    writer.error = refused(403)
    recorder(lost())
    await settle()
    assert emitted.of(EventRefused)[0].pool == THUMBS


async def test_a_terminating_namespace_that_refuses_events_is_not_reported(recorder, writer, emitted):
    writer.error = ApiError(403, "Forbidden", "it is being terminated", causes=frozenset({NAMESPACE_TERMINATING}))
    recorder(ReasonChanged(THUMBS, "uid", "Ready", False, "Conflict", "not ours"))
    await settle()
    assert emitted.of(EventRefused) == []


async def test_a_follower_writes_no_events(recorder, writer, emitted):
    writer.error = NotLeadingError()
    recorder(lost())
    await settle()
    assert emitted.seen == []


async def test_types_without_a_pool_are_an_event_on_each_of_the_pools(recorder, writer):
    pools = ((THUMBS, "uid"), (PoolRef("media", "other"), "uid-2"))
    recorder(TypesUnserved("main", ("vidoe",), "jobs of 'vidoe' wait", pools))
    recorder(TypesUnserved("main", (), "every type has a pool again", ()))
    await settle()
    assert [body["regarding"]["name"] for body in writer.bodies] == ["thumbs", "other"]
    assert {(body["type"], body["reason"], body["note"]) for body in writer.bodies} == {
        ("Warning", "TypesUnserved", "jobs of 'vidoe' wait")
    }
