from __future__ import annotations

import pytest

from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.rate_limit import Pace
from jobtide_controller.kube.write.status_writer import LEAST_SECONDS, StatusWriter
from jobtide_controller.kube.write.work_queue import WriteQueue
from jobtide_controller.kube.write.writer import Writer
from tests.unit.kube.objects import Clock, Events, ScriptedApi, pool, refused, settle, version

QUIET = {"pending": 0, "desiredReplicas": 0, "conditions": []}


class Setup:
    def __init__(self, **raw) -> None:
        self.clock, self.events = Clock(), Events()
        self.inventory = Inventory(self.events)
        self.inventory.upsert_pool(pool(**raw))
        self.answer = lambda body: self.stored(body["status"])
        self.api = ScriptedApi(lambda method, path, body: self.answer(body))
        writer = Writer(self.api, self.events, leading=lambda: True, pace=Pace(monotonic=self.clock))
        self.queue = WriteQueue(self.events, monotonic=self.clock)
        self.statuses = StatusWriter(self.inventory, writer, self.queue, monotonic=self.clock)

    @staticmethod
    def stored(status, uid="uid-thumbs"):
        return {"metadata": {"uid": uid, "resourceVersion": str(version())}, "status": status}

    def offer(self, **status):
        return self.statuses.offer(self.inventory.pools.get("uid-thumbs"), {**QUIET, **status})

    @property
    def written(self):
        return [body["status"] for _, _, body in self.api.requests]


async def test_a_status_that_says_nothing_new_is_not_written():
    setup = Setup(status=QUIET)
    assert setup.offer()
    await settle()
    assert setup.written == []


async def test_a_first_status_is_written_to_the_subresource_of_this_very_pool():
    setup = Setup()
    assert setup.offer()
    await settle()
    ((method, path, _),) = setup.api.requests
    assert (method, path) == ("PATCH", "/apis/jobtide.dev/v1alpha1/namespaces/media/jobworkerpools/thumbs/status")
    assert setup.inventory.pools.get("uid-thumbs").status == QUIET


async def test_numbers_that_move_are_written_every_few_seconds():
    setup = Setup(status=QUIET)
    told = []
    for second in range(11):
        told.append(setup.offer(pending=second + 1))
        await settle()
        setup.clock.pass_(1)
    assert [status["pending"] for status in setup.written] == [1, 6, 11]
    assert told.count(True) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"desiredReplicas": 3},
        {"readyReplicas": 1},
        {"reason": "CappedByMax"},
        {"observedGeneration": 2},
        {"conditions": [{"type": "Ready", "status": "False", "reason": "Conflict"}]},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_somebody_waits_for_is_written_at_once(change):
    setup = Setup(status=QUIET)
    setup.offer(pending=1)
    await settle()
    assert setup.offer(pending=1, **change)
    await settle()
    assert len(setup.written) == 2


async def test_a_message_that_moves_alone_waits_its_turn():
    condition = {"type": "Ready", "status": "True", "reason": "Applied"}
    setup = Setup(status={**QUIET, "conditions": [{**condition, "message": "one"}]})
    setup.offer(conditions=[{**condition, "message": "two"}])
    await settle()
    assert not setup.offer(conditions=[{**condition, "message": "three"}])


async def test_many_busy_pools_share_the_writes():
    setup = Setup(status=QUIET)
    setup.statuses._written_at.update({str(number): setup.clock.now for number in range(1000)})
    setup.offer(pending=1)
    await settle()
    setup.clock.pass_(LEAST_SECONDS)
    assert not setup.offer(pending=2)
    setup.clock.pass_(45.1)
    assert setup.offer(pending=2)


async def test_a_pool_that_went_quiet_gives_its_share_back():
    setup = Setup(status=QUIET)
    setup.offer(pending=1)
    await settle()
    setup.clock.pass_(LEAST_SECONDS)
    setup.statuses.quiet("uid-thumbs")
    assert setup.statuses._written_at == {}


async def test_a_pool_that_is_gone_is_not_written_again():
    setup = Setup()

    def answer(body):
        raise refused(404)

    setup.answer = answer
    setup.offer()
    await settle()
    setup.clock.pass_(100)
    setup.queue._pump()
    await settle()
    assert len(setup.written) == 1


async def test_a_status_is_written_to_the_pool_as_it_was_read_and_to_no_other_of_its_name():
    setup = Setup()
    entry = setup.inventory.pools.get("uid-thumbs")
    version = str(entry.version)
    bodies = []
    good = setup.answer
    setup.answer = lambda body: (bodies.append(body), good(body))[1]
    setup.offer()
    await settle()
    (body,) = bodies
    assert (body["metadata"]["uid"], body["metadata"]["resourceVersion"]) == ("uid-thumbs", version)


async def test_a_status_refused_for_now_is_written_later():
    setup = Setup()
    good = setup.answer

    def answer(body):
        setup.answer = good
        raise refused(503)

    setup.answer = answer
    setup.offer()
    await settle()
    setup.clock.pass_(1)
    setup.queue._pump()
    await settle()
    assert setup.inventory.pools.get("uid-thumbs").status == QUIET
