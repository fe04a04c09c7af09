from __future__ import annotations

import copy

import pytest

from jobtide_controller.kube.api.client import WRITE_SECONDS, ApiError
from jobtide_controller.kube.api.lease import Elector, Timing
from jobtide_controller.telemetry.events import LeaderChanged, LeaseFailed
from tests.unit.kube.objects import Clock, Events, refused

TIMING = Timing()


class LeaseServer:
    """One lease with the API server's optimistic locking; `down` refuses, `hook` runs before each answer."""

    def __init__(self) -> None:
        self.lease: dict | None = None
        self.down: ApiError | None = None
        self.hook = lambda method: None
        self.versions = 0

    async def request(self, method, path, *, body=None, timeout_seconds):
        self.hook(method)
        if self.down is not None:
            raise self.down
        if method == "GET":
            if self.lease is None:
                raise refused(404)
            return copy.deepcopy(self.lease)
        given = body["metadata"].get("resourceVersion")
        if (self.lease is not None) != (method == "PUT") or (
            self.lease is not None and given != self.lease["metadata"]["resourceVersion"]
        ):
            raise refused(409)
        self.versions += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.versions)
        return copy.deepcopy(self.lease)

    @property
    def holder(self):
        return self.lease["spec"]["holderIdentity"]


@pytest.fixture
def server():
    return LeaseServer()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def events():
    return Events()


@pytest.fixture
def elector(server, clock, events):
    def make(identity, own_clock=clock):
        return Elector(
            server, events, namespace="ns", name="jobtide", identity=identity, monotonic=own_clock, wall_clock=own_clock
        )

    return make


async def test_the_first_elector_leads(elector, server):
    a = elector("a")
    assert not a.held()
    assert await a.step() == TIMING.renew_seconds
    assert a.held()
    assert server.holder == "a"


async def test_a_second_elector_follows_while_the_first_renews(elector, clock):
    a, b = elector("a"), elector("b")
    for _ in range(20):
        await a.step()
        await b.step()
        assert (a.held(), b.held()) == (True, False)
        clock.pass_(TIMING.renew_seconds)


async def test_a_dead_leaders_lease_is_taken_within_ten_seconds(elector, server, clock):
    a, b = elector("a"), elector("b")
    await a.step()
    waited = 0.0
    while not b.held():
        pause = await b.step()
        if not b.held():
            clock.pass_(pause)
            waited += pause
    assert TIMING.lease_seconds <= waited < 10
    assert server.holder == "b"
    assert server.lease["spec"]["leaseTransitions"] == 2


async def test_a_leader_that_cannot_renew_stops_before_another_may_start(elector, server, clock):
    a, b = elector("a"), elector("b")
    await a.step()
    await b.step()
    server.down = refused(0)
    while a.held():
        await a.step()
        clock.pass_(0.1)
    stopped_at = clock.now
    server.down = None
    while not b.held():
        await b.step()
        clock.pass_(0.1)
    assert clock.now - stopped_at >= TIMING.lease_seconds - TIMING.hold_seconds - 0.2
    assert not a.held()


async def test_holding_counts_from_when_the_request_was_sent(elector, server, clock):
    a = elector("a")
    server.hook = lambda method: clock.pass_(1.0) if method == "POST" else None
    await a.step()
    clock.pass_(TIMING.hold_seconds - 1.0)
    assert not a.held()


async def test_an_expired_lease_is_not_held_even_between_steps(elector, clock):
    a = elector("a")
    await a.step()
    clock.pass_(TIMING.hold_seconds)
    assert not a.held()


async def test_clocks_that_differ_by_an_hour_change_nothing(elector, clock):
    fast = Clock(clock.now + 3600)
    a, b = elector("a"), elector("b", fast)
    await a.step()
    await b.step()
    assert (a.held(), b.held()) == (True, False)


async def test_of_two_takers_one_is_refused(elector, server):
    a, b = elector("a"), elector("b")
    taken = []

    def interleave(method):
        if method == "POST" and not taken:
            taken.append(True)
            server.lease = {
                "metadata": {"resourceVersion": "99"},
                "spec": {"holderIdentity": "b", "leaseDurationSeconds": 8, "renewTime": "x"},
            }

    server.hook = interleave
    await a.step()
    assert not a.held()
    assert server.holder == "b"
    assert not b.held(), "b learns it from its own step only"


async def test_a_released_lease_is_taken_at_the_next_step(elector, server):
    a, b = elector("a"), elector("b")
    await a.step()
    await b.step()
    await a.release()
    assert not a.held()
    await b.step()
    assert b.held()


async def test_a_follower_releases_nothing(elector, server):
    a, b = elector("a"), elector("b")
    await a.step()
    await b.step()
    await b.release()
    assert server.holder == "a"
    assert a.held()


async def test_a_leader_whose_lease_was_taken_away_follows(elector, server, events):
    a = elector("a")
    await a.step()
    server.lease["spec"]["holderIdentity"] = "thief"
    server.lease["metadata"]["resourceVersion"] = "77"
    await a.step()
    assert not a.held()
    assert server.holder == "thief"
    assert [event.leading for event in events.of(LeaderChanged)] == [True, False]


async def test_leading_again_is_a_new_term(elector):
    a, b = elector("a"), elector("b")
    assert a.terms == 0
    await a.step()
    await a.step()
    assert a.terms == 1, "a renewal is no new term"
    await a.release()
    await b.step()
    await a.step()
    assert (a.held(), a.terms) == (False, 1)
    await b.release()
    await a.step()
    assert (a.held(), a.terms) == (True, 2)


async def test_a_lapse_begins_a_new_term_since_writes_were_dropped_in_it(elector, clock):
    a = elector("a")
    await a.step()
    clock.pass_(TIMING.hold_seconds)
    assert not a.held()
    await a.step()
    assert (a.held(), a.terms) == (True, 2)


async def test_a_restarted_process_with_the_same_identity_leads_at_once(elector):
    await elector("a").step()
    again = elector("a")
    await again.step()
    assert again.held()


async def test_a_holder_with_a_longer_lease_is_given_that_time(elector, server, clock):
    a, b = elector("a"), elector("b")
    await a.step()
    server.lease["spec"]["leaseDurationSeconds"] = 60
    await b.step()
    clock.pass_(59)
    await b.step()
    assert not b.held()
    clock.pass_(1)
    await b.step()
    assert b.held()


async def test_an_api_server_that_does_not_answer_is_reported_once(elector, server, events):
    a = elector("a")
    server.down = refused(503)
    for _ in range(10):
        assert await a.step() == TIMING.poll_seconds
    server.down = refused(500)
    await a.step()
    assert [event.message[:3] for event in events.of(LeaseFailed)] == [str(refused(503))[:3], str(refused(500))[:3]]


async def test_a_renewal_is_one_request(elector, server):
    a = elector("a")
    await a.step()
    asked = []
    server.hook = asked.append
    await a.step()
    assert asked == ["PUT"]


async def test_one_renewal_that_fails_loses_nothing(elector, server, clock):
    a = elector("a")
    clock.pass_(await a.step())
    server.down = refused(0)
    clock.pass_(TIMING.request_seconds)
    assert await a.step() == TIMING.retry_seconds
    server.down = None
    clock.pass_(TIMING.retry_seconds)
    assert a.held()
    await a.step()
    clock.pass_(TIMING.hold_seconds - 0.1)
    assert a.held()


async def test_a_leader_that_resigns_writes_no_more_but_holds_the_lease_until_it_releases_it(elector, server):
    a, b = elector("a"), elector("b")
    await a.step()
    await b.step()
    a.resign()
    await b.step()
    assert (a.held(), b.held()) == (False, False)
    await a.release()
    await b.step()
    assert b.held()


def test_a_write_at_the_last_moment_is_cut_off_before_another_leader_may_start():
    assert TIMING.hold_seconds + WRITE_SECONDS < TIMING.lease_seconds
