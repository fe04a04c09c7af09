"""Pools of the API server's whole grammar beside one that behaves well, which gets its workers all the same."""

from __future__ import annotations

import json

import pytest

from dev.stage.hostile_pools import hostile_pools
from jobtide_controller.kube.api.bounded_json import parse
from jobtide_controller.render.deployment import deployment_first_apply
from jobtide_controller.telemetry.events import Failed, ReasonChanged
from tests.unit.kube.objects import pool, version

POOLS = 150


def listed(body: str, name: str) -> bytes:
    """The pool as in an answer of an API server that refuses nothing."""
    identity = {"namespace": "media", "uid": f"uid-{name}", "generation": 1, "resourceVersion": str(version())}
    start = body.index('"metadata":{') + len('"metadata":{')
    return f"{body[:start]}{json.dumps(identity)[1:-1]},{body[start:]}".encode()


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_pools_hold_each_is_decided_or_says_why_and_the_good_one_has_its_workers(world, seed):
    world.inventory.upsert_pool(pool("good", maxWaitSeconds=10))
    world.due("good")
    names = []
    for name, body in hostile_pools(POOLS, seed=seed):
        world.inventory.upsert_pool(parse(listed(body, name)))
        names.append(name)
    await world.tick(times=3)
    assert ("good", 2) in world.applied
    entries = {name: world.inventory.pools.get(f"uid-{name}") for name in names}
    refused = {name: entry.refusal for name, entry in entries.items() if entry.refusal is not None}
    assert POOLS / 10 < len(refused) < POOLS
    reported = {event.pool.name: event.reason for event in world.events.of(ReasonChanged) if event.condition == "Ready"}
    here = {name for name, entry in entries.items() if entry.database == "main"}
    assert {reported.get(name) for name in refused.keys() & here} == {"InvalidSpec"}
    assert max(map(len, refused.values())) < 3_000
    for name in entries.keys() - refused.keys():
        deployment_first_apply(entries[name].pool, 1)
    assert world.events.of(Failed) == []
