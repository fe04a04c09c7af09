"""A database that only some namespaces may use: a pool elsewhere learns nothing of it and takes nothing from others."""

from __future__ import annotations

import json

import pytest

from jobtide_controller.decide.reading import Depth, Key, UnreadableReason
from jobtide_controller.telemetry.events import Decided
from tests.unit.kube.objects import deployment, pod, pool
from tests.unit.loop.world import World, unreadable

CONNECTIONS = 12  # six workers
ALLOWED = {"main": ("media",)}


@pytest.fixture
def world():
    return World(connections=CONNECTIONS, namespaces=ALLOWED)


def elsewhere(name="foreign", **spec):
    made = pool(name, **spec)
    made["metadata"]["namespace"] = "elsewhere"
    return made


def status_of(world, name):
    return world.inventory.pools.get(f"uid-{name}").status


def condition(world, name, type_):
    return next(one for one in status_of(world, name)["conditions"] if one["type"] == type_)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"minReplicas": 10, "maxReplicas": 10_000}, id="minReplicas"),
        pytest.param({"replicas": 10}, id="a pin"),
        pytest.param({"types": ["thumbs"]}, id="the types of another team"),
    ],
)
async def test_pool_elsewhere_has_no_workers_and_takes_none(world, spec):
    world.inventory.upsert_pool(pool(jobsPerWorker=4))
    world.inventory.upsert_pool(elsewhere(**spec))
    world.due(count=40)
    await world.tick(times=3)
    assert dict(world.applied) == {"thumbs": 6, "foreign": 0}
    ready = condition(world, "foreign", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NamespaceNotAllowed")
    assert 'spec.database "main" may not be used from namespace elsewhere' in ready["message"]
    assert "databases.main.namespaces" in ready["message"]
    assert condition(world, "thumbs", "Ready")["status"] == "True"


async def test_pool_elsewhere_learns_nothing_of_the_table_and_of_other_pools(world):
    world.inventory.upsert_pool(pool(types=["thumbs"]))
    world.inventory.upsert_pool(elsewhere(types=["thumbs", "secret"]))
    world.source.depths[Key("thumbs", "tenant-of-media")] = Depth(due=417, oldest_age_seconds=99)
    await world.tick(times=3)
    text = json.dumps(status_of(world, "foreign"))
    for word in ("tenant-of-media", "417", "99", "media/"):
        assert word not in text
    assert "secret" not in {type_ for types in world.source.asked for type_ in types}
    assert "foreign" not in json.dumps(status_of(world, "thumbs"))


async def test_status_of_a_pool_that_may_no_longer_use_the_database_is_emptied_and_its_workers_end():
    world = World()
    world.inventory.upsert_pool(pool("thumbs"))
    world.source.depths[Key("thumbs", "a-tenant")] = Depth(due=8)
    await world.tick(times=3)
    before = world.inventory.pools.get("uid-thumbs")
    assert "a-tenant" in json.dumps(before.status)
    later = World(namespaces={"main": ("crm",)})
    later.inventory.upsert_pool(pool("thumbs", status=before.status, minReplicas=2))
    later.inventory.upsert_deployment(deployment(uid="d-thumbs", replicas=2))
    later.inventory.upsert_pod(pod(ready_at="2026-11-24T12:00:04Z"))
    await later.tick(times=3)
    assert dict(later.applied) == {"thumbs": 0}
    assert "a-tenant" not in json.dumps(status_of(later, "thumbs"))
    (decided,) = later.events.of(Decided)
    assert decided.reason == "NamespaceNotAllowed"


async def test_connections_of_its_last_workers_are_not_given_away_before_they_end(world):
    world.inventory.upsert_pool(elsewhere("foreign"))
    for number in range(5):
        leaving = pod(f"foreign-{number}", of="foreign", ready_at="2026-11-24T12:00:04Z")
        leaving["metadata"]["namespace"] = "elsewhere"
        world.inventory.upsert_pod(leaving)
    world.inventory.upsert_pool(pool(jobsPerWorker=4))
    world.due(count=40)
    await world.tick(times=3)
    assert dict(world.applied)["thumbs"] == 1


async def test_database_without_a_list_is_for_all_namespaces():
    world = World(namespaces={"reports": ("media",)})
    world.inventory.upsert_pool(elsewhere("thumbs"))
    await world.tick()
    assert condition(world, "thumbs", "Ready")["status"] == "True"


async def test_tenants_are_in_no_status_unless_they_are_wanted():
    for shown in (True, False):
        world = World(shows_tenants=shown)
        world.inventory.upsert_pool(pool())
        world.source.depths[Key("thumbs", "a-tenant")] = Depth(due=8)
        await world.tick(times=2)
        assert ("a-tenant" in json.dumps(world.statuses)) is shown
        assert status_of(world, "thumbs")["tenantsTotal"] == 1
        ((_, gauges),) = world.terms.database_gauges()
        assert gauges.shows_tenants is shown


@pytest.mark.parametrize(
    ("namespace", "names"),
    [
        pytest.param("media", "may use: main, reports", id="some"),
        pytest.param("elsewhere", "may use: reports", id="not those of other namespaces"),
    ],
)
async def test_pool_of_a_database_that_is_not_configured_reads_the_names_that_its_namespace_may_use(namespace, names):
    world = World(namespaces={**ALLOWED, "payroll": ("finance",)}, configured=("main", "payroll", "reports"))
    world.loop.name = "crm"
    world.source.failure = unreadable(UnreadableReason.NOT_CONFIGURED, 'no database is called "crm"')
    made = pool("thumbs", database="crm")
    made["metadata"]["namespace"] = namespace
    world.inventory.upsert_pool(made)
    await world.tick(times=2)
    for type_ in ("Ready", "DatabaseReachable"):
        assert f"; databases that namespace {namespace} {names};" in condition(world, "thumbs", type_)["message"]


async def test_namespace_that_may_use_no_database_reads_so():
    world = World(namespaces={"payroll": ("finance",)}, configured=("payroll",))
    world.loop.name = "crm"
    world.source.failure = unreadable(UnreadableReason.NOT_CONFIGURED, 'no database is called "crm"')
    world.inventory.upsert_pool(pool("thumbs", database="crm"))
    await world.tick(times=2)
    assert "databases that namespace media may use: none;" in condition(world, "thumbs", "Ready")["message"]
    assert "payroll" not in json.dumps(world.statuses)


async def test_pool_of_a_database_whose_url_is_wrong_reads_no_other_names():
    world = World(configured=("main", "reports"))
    world.source.failure = unreadable(UnreadableReason.NOT_CONFIGURED, "the Secret is empty")
    world.inventory.upsert_pool(pool("thumbs"))
    await world.tick(times=2)
    assert "may use" not in condition(world, "thumbs", "Ready")["message"]
