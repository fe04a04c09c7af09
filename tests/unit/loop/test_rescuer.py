from __future__ import annotations

import pytest

from jobtide_controller.decide.reading import Key, PodRun, Reading
from jobtide_controller.loop.ports import GoneWorker, Presence, RescueFailedError, WorkersUnlistedError
from jobtide_controller.loop.rescuer import LIST_SECONDS, Rescuer
from jobtide_controller.telemetry.events import ForeignWorker, Rescued, RescueFailed
from tests.unit.kube.objects import Clock, Events

A, B, C = (f"{letter * 8}-0000-0000-0000-000000000000" for letter in "abc")


class Setup:
    name = "main"

    def __init__(self) -> None:
        self.clock, self.events = Clock(), Events()
        self.known: dict[str, GoneWorker | Presence] = {}
        self.listed: set[str] | Exception = set()
        self.lists = 0
        self.rescued: list[dict[str, bool]] = []
        self.error: Exception | None = None
        self.rescuer = Rescuer(self, self, self.events, monotonic=self.clock)

    def presence_of(self, uid):
        return self.known.get(uid, Presence.UNKNOWN)

    async def rescue(self, gives_back):
        if self.error:
            raise self.error
        self.rescued.append(dict(gives_back))
        return dict.fromkeys(gives_back, 2)

    async def list_uids(self):
        self.lists += 1
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed

    async def rescues(self, *holders):
        run = PodRun({Key("a", "t"): 1})
        await self.rescuer.rescue(Reading(0.0, {}, dict.fromkeys(holders, run)))


@pytest.fixture
def setup():
    return Setup()


async def test_jobs_of_living_pods_are_left_alone(setup):
    setup.known[A] = Presence.ALIVE
    await setup.rescues(A)
    assert setup.rescued == []
    assert setup.lists == 0


async def test_jobs_of_a_pod_that_was_seen_to_go_are_returned_by_its_cause(setup):
    setup.known = {A: GoneWorker(gives_back=True), B: GoneWorker(gives_back=False), C: Presence.ALIVE}
    await setup.rescues(A, B, C)
    assert setup.rescued == [{A: True, B: False}]
    assert [(event.pod_uid, event.jobs, event.gave_back) for event in setup.events.of(Rescued)] == [
        (A, 2, True),
        (B, 2, False),
    ]
    assert setup.lists == 0


async def test_a_pod_that_was_never_seen_is_looked_for_before_it_counts_as_gone(setup):
    setup.listed = {B}
    await setup.rescues(A, B)
    assert setup.rescued == [{A: True}]
    assert setup.lists == 1


async def test_a_list_that_fails_is_no_proof(setup):
    setup.listed = WorkersUnlistedError("refused with 503")
    await setup.rescues(A)
    assert setup.rescued == []
    assert "503" in setup.events.of(RescueFailed)[0].message


async def test_lists_are_asked_for_every_few_seconds_at_most(setup):
    setup.listed = WorkersUnlistedError("refused with 503")
    for _ in range(10):
        await setup.rescues(A)
    assert setup.lists == 1
    setup.clock.pass_(LIST_SECONDS)
    setup.listed = set()
    await setup.rescues(A)
    assert setup.rescued == [{A: True}]


async def test_a_pod_of_this_cluster_that_belongs_to_no_pool_is_left_to_its_lease(setup):
    setup.listed = {A}
    for _ in range(5):
        await setup.rescues(A)
        setup.clock.pass_(LIST_SECONDS)
    assert setup.rescued == []
    assert setup.lists == 1


async def test_a_worker_outside_kubernetes_is_never_looked_for(setup):
    setup.known["local-12ab"] = Presence.OUTSIDE
    await setup.rescues("local-12ab")
    assert setup.lists == 0
    assert setup.rescued == []


async def test_rows_that_a_rescue_left_are_returned_by_the_next(setup):
    await setup.rescues(A)
    setup.clock.pass_(LIST_SECONDS)
    await setup.rescues(A)
    assert setup.rescued == [{A: True}, {A: True}]
    assert setup.events.of(ForeignWorker) == []


async def test_a_gone_pod_that_claims_again_is_left_to_its_leases_and_it_alone(setup):
    await setup.rescues(A)
    await setup.rescues()
    setup.clock.pass_(LIST_SECONDS)
    await setup.rescues(A, B)
    assert setup.rescued == [{A: True}, {B: True}]
    assert [event.pod_uid for event in setup.events.of(ForeignWorker)] == [A]
    setup.clock.pass_(LIST_SECONDS)
    setup.known[C] = GoneWorker(gives_back=False)
    await setup.rescues(A, C)
    assert setup.rescued == [{A: True}, {B: True}, {C: False}]
    assert len(setup.events.of(ForeignWorker)) == 1, "reported once"


async def test_forged_claims_of_many_unknown_pods_do_not_stop_the_rescue_of_a_lost_one(setup):
    forged = [f"{number:08x}-0000-0000-0000-000000000000" for number in range(50)]
    for _ in range(3):
        await setup.rescues(*forged)
        await setup.rescues()
        setup.clock.pass_(LIST_SECONDS)
    await setup.rescues(*forged, A)
    assert setup.rescued[-1] == {A: True}


async def test_a_rescue_that_fails_is_reported_and_tried_again(setup):
    setup.known[A] = GoneWorker(gives_back=True)
    setup.error = RescueFailedError("Unreachable: connection refused")
    await setup.rescues(A)
    assert "connection refused" in setup.events.of(RescueFailed)[0].message
    setup.error = None
    await setup.rescues(A)
    assert setup.rescued == [{A: True}]
