"""A pool that can't be understood, decided or written says so in its status, backs off, and stops no other pool."""

from __future__ import annotations

import pytest

from jobtide_controller.telemetry.events import Failed, ReasonChanged
from tests.unit.kube.objects import pool, refused, settle


def condition(status, type_="Ready"):
    return next(one for one in status["conditions"] if one["type"] == type_)


def statuses_of(world, name):
    return [body["status"] for _, path, body in world.api.requests if f"/{name}/" in path]


def put(world, name="bad", **more):
    world.inventory.upsert_pool(pool(name, **more))


async def test_a_refused_pool_says_why_and_the_others_are_decided(world):
    put(world, types=["a\0b"])
    put(world, "good", minReplicas=1)
    await world.tick()
    (status,) = statuses_of(world, "bad")
    ready, stalled = condition(status), condition(status, "Stalled")
    assert (ready["status"], ready["reason"], status["reason"]) == ("False", "InvalidSpec", "InvalidSpec")
    assert "U+0000" in ready["message"]
    assert "remove it" in ready["message"]
    assert (stalled["status"], condition(status, "DatabaseReachable")["status"]) == ("True", "Unknown")
    assert world.applied == [("good", 1)]
    assert world.source.asked == [["good"]], "its types are not read"


async def test_a_refused_pool_costs_nothing_until_it_changes(world):
    put(world, types=["a\0b"])
    await world.tick(times=20, seconds=10)
    assert len(statuses_of(world, "bad")) == 1
    assert [event.reason for event in world.events.of(ReasonChanged)] == ["InvalidSpec", "InvalidSpec"]
    put(world, generation=2, minReplicas=1)
    await world.tick(times=2)
    assert world.applied == [("bad", 1)]
    assert condition(statuses_of(world, "bad")[-1])["status"] == "True"


async def test_a_pool_that_becomes_refused_keeps_its_workers(world):
    put(world, minReplicas=2)
    await world.tick(times=3)
    put(world, generation=2, types=["a\0b"], minReplicas=0, status=statuses_of(world, "bad")[-1])
    await world.tick(times=3)
    assert world.applied == [("bad", 2)]
    status = statuses_of(world, "bad")[-1]
    assert (status["reason"], status["desiredReplicas"], status["observedGeneration"]) == ("InvalidSpec", 2, 2)
    assert "its workers stay as they are" in status["message"]
    assert [one["replicas"] for one in status["decisions"]] == [2], "what was decided before stays"


async def test_depths_of_a_database_that_is_read_no_more_are_not_shown(world):
    put(world, "thumbs")
    world.due(count=8)
    await world.tick()
    put(world, "thumbs", generation=2, types=["a\0b"])
    await world.tick()
    ((_, gauges),) = world.terms.database_gauges()
    assert gauges.reading is None


async def test_a_new_leader_says_so_too(world):
    put(world, types=["a\0b"])
    await world.tick()
    world.inventory.pools.get("uid-bad").status = None
    world.lose_the_lease()
    await world.tick()
    world.take_the_lease()
    await world.tick()
    assert len(statuses_of(world, "bad")) == 2


async def test_a_bug_with_one_pool_is_its_condition_and_it_backs_off(world):
    world.bug = ZeroDivisionError("tide")
    put(world, "bug", minReplicas=1)
    put(world, "good", minReplicas=1)
    await world.tick(times=300, seconds=0.2)
    (status,) = statuses_of(world, "bug")
    ready = condition(status)
    assert (ready["status"], ready["reason"]) == ("False", "InternalError")
    assert "a bug in Jobtide: ZeroDivisionError: tide" in ready["message"]
    assert condition(status, "Stalled")["status"] == "False", "it is tried again"
    assert len(world.events.of(Failed)) == 1
    assert world.state("bug").bug.passes < 10, "in a minute of five passes a second"
    assert ("good", 1) in world.applied


async def test_a_pool_recovers_when_its_user_changes_it_however_long_it_backs_off(world):
    world.bug = ZeroDivisionError("tide")
    put(world, "bug", minReplicas=1)
    await world.tick(times=300, seconds=1)
    world.bug = None
    put(world, "bug", generation=2, minReplicas=1)
    await world.tick(times=2)
    assert ("bug", 1) in world.applied
    assert condition(statuses_of(world, "bug")[-1])["status"] == "True"


async def test_a_bug_of_a_write_is_the_pools_condition_and_it_backs_off(world):
    put(world, minReplicas=1)
    tries = []

    def refuses(uid):
        tries.append(uid)
        raise TypeError("not a list")

    world.refuses = refuses
    for _ in range(300):
        await world.tick()
        world.queue._pump()
        await settle()
    ready = condition(statuses_of(world, "bad")[-1])
    assert (ready["status"], ready["reason"]) == ("False", "ApplyFailed")
    assert "TypeError: not a list" in ready["message"]
    assert len(tries) < 15, "in a minute"
    assert len(world.events.of(Failed)) == 1


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"types": "x"}, id="shape"),
        pytest.param({"conditions": [{"type": "Ready"}]}, id="fields left out"),
        pytest.param({"lastReadTime": "0000-01-01T00:00:00Z"}, id="year 0"),
        pytest.param({"numbers": {"due": "x" * 300_000}}, id="size"),
    ],
)
async def test_a_status_that_another_client_made_unreadable_is_written_again(world, status):
    put(world, minReplicas=1, status=status)
    await world.tick(times=3)
    assert world.events.of(Failed) == []
    assert statuses_of(world, "bad")[-1]["desiredReplicas"] == 1


async def test_a_decision_stays_in_the_status_though_the_next_status_overtakes_it(world):
    """The status with the first decision waits for its turn while the Deployment is made."""
    put(world, minReplicas=1)
    handler = world._status
    calls = []

    def late(method, path, body):
        calls.append(body)
        if len(calls) == 1:
            raise refused(409)
        return handler(method, path, body)

    world.api.handler = late
    await world.tick(times=2)
    world.clock.pass_(5)
    world.queue._pump()
    await settle()
    assert [one["replicas"] for one in world.statuses[-1]["decisions"]] == [1]
