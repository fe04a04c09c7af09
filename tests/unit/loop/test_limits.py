"""Limits of tenants go to the database once for each change, and back into statuses; no template changes by them."""

from __future__ import annotations

import pytest

from jobtide_controller.decide.limits import Kept, Limit, LimitsTrouble, PoolLimits
from jobtide_controller.decide.reading import Depth, Key
from jobtide_controller.kube.write.scaler import KubeWrites
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.writer import Writer
from jobtide_controller.render.deployment import deployment_template_apply
from tests.unit.kube.objects import ScriptedApi, deployment, pool
from tests.unit.loop.world import Source, World

OWNER = "11111111-2222-3333-4444-555555555555"


class KeepingSource(Source):
    def __init__(self) -> None:
        super().__init__()
        self.calls = []
        self.answers = True

    async def keep_limits(self, changed, gone):
        self.calls.append((list(changed), list(gone)))
        return self.kept if self.answers else None


@pytest.fixture
def world():
    return World(source=KeepingSource())


def changes(world):
    """What the source got, without the calls in which there was nothing new."""
    found = [call for call in world.source.calls if call != ([], [])]
    world.source.calls.clear()
    return found


async def test_each_change_of_a_pools_limits_is_given_once(world):
    world.inventory.upsert_pool(pool(tenants={"maxConcurrent": 3, "overrides": {OWNER: 0}}))
    await world.tick(times=3)
    assert changes(world) == [([PoolLimits("media/thumbs", 3, {OWNER: Limit(0)})], [])]
    world.inventory.upsert_pool(
        pool(generation=4, tenants={"maxConcurrent": 3, "overrides": {OWNER: 0}}, maxReplicas=7)
    )
    await world.tick(times=3)
    assert changes(world) == []
    world.inventory.upsert_pool(pool(generation=5))
    await world.tick(times=3)
    assert changes(world) == [([PoolLimits("media/thumbs", None, {})], [])]


async def test_what_was_not_stored_is_given_again(world):
    world.inventory.upsert_pool(pool(tenants={"maxConcurrent": 3}))
    world.source.answers = False
    await world.tick(times=2)
    world.source.answers = True
    await world.tick(times=2)
    one = ([PoolLimits("media/thumbs", 3, {})], [])
    assert changes(world) == [one, one, one]


async def test_limits_of_a_deleted_pool_are_forgotten_and_those_of_a_new_one_of_its_name_are_not(world):
    world.inventory.upsert_pool(pool("kept"))
    world.inventory.upsert_pool(pool(tenants={"maxConcurrent": 3}))
    await world.tick(times=2)
    changes(world)
    world.inventory.forget_pool(pool())
    await world.tick(times=2)
    assert changes(world) == [([], ["media/thumbs"])]
    world.inventory.upsert_pool(pool(uid="another", tenants={"maxConcurrent": 2}))
    await world.tick(times=2)
    assert changes(world) == [([PoolLimits("media/thumbs", 2, {})], [])]


async def test_limits_of_the_last_pool_of_a_database_are_forgotten_too(world):
    world.inventory.upsert_pool(pool(tenants={"maxConcurrent": 3}))
    await world.tick(times=2)
    changes(world)
    world.inventory.forget_pool(pool())
    await world.tick(times=2)
    assert changes(world) == [([], ["media/thumbs"])]


async def test_a_new_term_gives_all_limits_again(world):
    world.inventory.upsert_pool(pool(tenants={"maxConcurrent": 3}))
    await world.tick(times=2)
    changes(world)
    world.lose_the_lease()
    await world.tick()
    world.leading, world.number = True, 2
    await world.tick(times=2)
    assert changes(world) == [([PoolLimits("media/thumbs", 3, {})], [])]


def condition(world, name="thumbs"):
    found = [one for one in world.statuses[-1]["conditions"] if one["type"] == "LimitsCurrent"]
    return found[0] if found else None


async def test_limits_of_the_view_size_the_pool_and_are_in_its_status(world):
    world.inventory.upsert_pool(pool(types=["thumbs"], concurrency=1, maxReplicas=40))
    world.source.kept = Kept(is_stored=True, has_view=True, shared={Key("", OWNER): Limit(2, 3)})
    world.source.depths = {Key("thumbs", OWNER): Depth(due=500, oldest_age_seconds=900, mean_age_seconds=500)}
    await world.tick(6, times=4)
    assert world.applied[-1] == ("thumbs", 2)
    (shown,) = world.statuses[-1]["tenants"]
    assert (shown["maxConcurrent"], shown["weight"]) == (2, 3)
    assert condition(world)["status"] == "True"


async def test_a_broken_view_is_a_condition_of_the_pools(world):
    world.inventory.upsert_pool(pool())
    await world.tick(6, times=2)
    assert condition(world) is None
    world.source.kept = Kept(is_stored=True, has_view=True, trouble=LimitsTrouble("ViewWrong", "view: no weight"))
    await world.tick(6, times=2)
    found = condition(world)
    assert (found["status"], found["reason"]) == ("False", "ViewWrong")
    assert found["message"] == "view: no weight; the last known limits hold"


def applying_world(stored, **fields):
    """With the writes of production, and a Deployment as it was created for a limit of 3."""
    world = World(source=KeepingSource())
    world.source.kept = Kept(is_stored=stored)
    world.inventory.upsert_pool(pool(tenants={"maxConcurrent": 3}))
    entry = world.inventory.pools.get("uid-thumbs")
    template = deployment_template_apply(entry.pool)["spec"]["template"]
    api = ScriptedApi(lambda _method, _path, body: {**made(world, template), "metadata": {
        **made(world, template)["metadata"], "annotations": body["metadata"].get("annotations", {})}})  # fmt: skip
    writer = Writer(api, world.events, leading=lambda: True, window=Window())
    world.begin = lambda: KubeWrites(world.inventory, writer, world.queue, monotonic=world.clock)
    world.inventory.upsert_deployment(made(world, template))
    return world, api


def made(world, template):
    return deployment(replicas=0, template_hash="of-before", template=template)


async def templates(world, api):
    api.requests.clear()
    await world.tick(1, times=3)
    bodies = [body for _, path, body in api.requests if path.endswith("/deployments/thumbs-worker") and body]
    return [
        {one["name"]: one.get("value") for one in body["spec"]["template"]["spec"]["containers"][0]["env"]}
        for body in bodies
        if "template" in body.get("spec", {})
    ]


MOST = "JOBTIDE_TENANT_MAX_CONCURRENT"


@pytest.mark.parametrize(
    ("stored", "most"),
    [pytest.param(True, None, id="stored"), pytest.param(False, "9", id="a schema of an earlier version")],
)
async def test_a_change_of_limits_changes_the_template_only_where_they_are_not_stored(stored, most):
    world, api = applying_world(stored)
    await templates(world, api)  # whatever this release renders otherwise
    world.inventory.upsert_pool(pool(generation=4, tenants={"maxConcurrent": 9, "overrides": {OWNER: 0}}))
    found = await templates(world, api)
    assert [env[MOST] for env in found] == ([] if most is None else [most])


async def test_another_change_of_the_template_keeps_the_limits_that_workers_of_an_earlier_version_have():
    world, api = applying_world(stored=True)
    await templates(world, api)
    world.inventory.upsert_pool(pool(generation=4, tenants={"maxConcurrent": 9}, concurrency=8))
    found = await templates(world, api)
    assert [(env[MOST], env["JOBTIDE_CONCURRENCY"]) for env in found] == [("3", "8")]
