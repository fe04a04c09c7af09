from __future__ import annotations

import pytest

from jobtide_controller.api.status import MESSAGE_LIMIT
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.status_writer import StatusWriter
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import WriteQueue
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.render.trouble import refused_status
from tests.unit.kube.objects import Clock, Events, ScriptedApi, pool, refused, settle, version

QUIET = {"pending": 0, "desiredReplicas": 0, "conditions": []}


class Setup:
    def __init__(self, **raw) -> None:
        self.clock, self.events = Clock(), Events()
        self.inventory = Inventory(self.events)
        self.inventory.upsert_pool(pool(**raw))
        self.answer = lambda body: self.stored(body["status"])
        self.api = ScriptedApi(lambda method, path, body: self.answer(body))
        window = Window()
        writer = Writer(self.api, self.events, leading=lambda: True, window=window)
        self.queue = WriteQueue(self.events, window, monotonic=self.clock)
        self.statuses = StatusWriter(self.inventory, writer, self.queue)

    @staticmethod
    def stored(status, uid="uid-thumbs"):
        return {"metadata": {"uid": uid, "resourceVersion": str(version())}, "status": status}

    def write(self, **status):
        self.statuses.write(self.inventory.pools.get("uid-thumbs"), {**QUIET, **status})

    @property
    def written(self):
        return [body["status"] for _, _, body in self.api.requests]


async def test_a_first_status_is_written_to_the_subresource_of_its_pool():
    setup = Setup()
    setup.write()
    await settle()
    ((method, path, _),) = setup.api.requests
    assert (method, path) == ("PATCH", "/apis/jobtide.dev/v1alpha1/namespaces/media/jobworkerpools/thumbs/status")
    assert setup.inventory.pools.get("uid-thumbs").status == QUIET


async def test_a_pool_that_is_gone_is_not_written_again():
    setup = Setup()

    def answer(body):
        raise refused(404)

    setup.answer = answer
    setup.write()
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
    setup.write()
    await settle()
    (body,) = bodies
    assert (body["metadata"]["uid"], body["metadata"]["resourceVersion"]) == ("uid-thumbs", version)


async def test_a_refused_status_is_written_later():
    setup = Setup()
    good = setup.answer

    def answer(body):
        setup.answer = good
        raise refused(503)

    setup.answer = answer
    setup.write()
    await settle()
    setup.clock.pass_(1)
    setup.queue._pump()
    await settle()
    assert setup.inventory.pools.get("uid-thumbs").status == QUIET


@pytest.mark.parametrize("code", [400, 413, 422])
async def test_a_status_that_the_api_server_refuses_is_replaced_by_its_words(code):
    setup = Setup()

    def answer(body):
        if "types" in body["status"]:
            raise refused(code)
        return setup.stored(body["status"])

    setup.answer = answer
    ready = {"type": "Ready", "status": "True", "reason": "Applied", "message": "x", "observedGeneration": 3}
    setup.write(types=[{"type": "odd"}], conditions=[ready], observedGeneration=3)
    await settle()
    refused_one, instead = setup.written
    assert refused_one["types"]
    assert (instead["observedGeneration"], instead["reason"]) == (3, "StatusRefused")
    (condition,) = instead["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "StatusRefused")
    assert condition["message"] == f"the API server refuses this pool's status: refused with {code}"
    setup.queue._pump()
    await settle()
    assert len(setup.written) == 2, "it backs off"


def test_words_of_a_refusal_that_repeat_the_refused_value_fit_into_a_condition():
    ready = {"type": "Ready", "status": "True", "reason": "Applied", "message": ""}
    (condition,) = refused_status({"conditions": [ready]}, "x" * 100_000)["conditions"]
    assert len(condition["message"]) == MESSAGE_LIMIT
