"""New renderings reach a few pools at a time; a pool keeps its place until its rollout is over."""

from __future__ import annotations

import asyncio

import pytest

from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.write.apply import Applier, asked_hash, template_hash
from jobtide_controller.kube.write.rollouts import MAX_ROLLING, Rollouts
from jobtide_controller.kube.write.window import Window
from jobtide_controller.kube.write.work_queue import NotLeadingError
from jobtide_controller.kube.write.writer import Writer
from tests.unit.kube.objects import Events, deployment, pool, settle

OLD = "of-another-release"
NAMES = [f"p{number}" for number in range(MAX_ROLLING + 1)]


class SlowApi:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.templates: list[str] = []

    async def request(self, method, path, *, query=None, body=None, content_type=""):
        self.templates.append(body["metadata"]["name"].removesuffix("-worker"))
        await self.may_answer.wait()
        hash_ = body["metadata"]["annotations"]["jobtide.dev/template-hash"]
        return rendered(self.templates[-1], hash_, rolls=True)


def rendered(name, hash_, *, rolls=False):
    raw = deployment(name, uid=f"d-{name}", template_hash=hash_)
    raw["status"] = {"replicas": 1, "updatedReplicas": int(not rolls)}
    return raw


class World:
    def __init__(self) -> None:
        self.leading = True
        self.api, events = SlowApi(), Events()
        self.inventory = Inventory(events)
        writer = Writer(self.api, events, leading=lambda: self.leading, window=Window())
        rollouts = Rollouts(self.inventory.wake)
        self.appliers = {name: Applier(f"uid-{name}", self.inventory, writer, rollouts) for name in NAMES}
        for name in NAMES:
            self.inventory.upsert_pool(pool(name))
            self.inventory.upsert_deployment(self.asked(rendered(name, OLD)))

    def asked(self, raw):
        """As if the user had not changed the pool since."""
        raw["metadata"]["annotations"]["jobtide.dev/asked-hash"] = asked_hash(self.entry(raw["metadata"]["name"][:2]))
        return raw

    def entry(self, name):
        return self.inventory.pools.get(f"uid-{name}")

    def converge(self, name):
        return asyncio.ensure_future(self.appliers[name].converge(1, lambda: None))

    def due(self):
        return [name for name in NAMES if self.appliers[name].is_due(1)]


async def test_a_pool_keeps_its_place_while_its_template_is_on_its_way():
    world = World()
    tasks = [world.converge(name) for name in NAMES[:MAX_ROLLING]]
    await settle()
    assert world.api.templates == NAMES[:MAX_ROLLING]
    for _ in range(3):
        assert NAMES[-1] not in world.due(), "as each tick asks"
    for task in tasks:
        task.cancel()


async def test_a_pool_frees_its_place_when_its_pods_are_replaced():
    world = World()
    world.api.may_answer.set()
    for name in NAMES[:MAX_ROLLING]:
        await world.converge(name)
    assert world.due() == [], "five roll, and the sixth waits"
    world.inventory.upsert_deployment(rendered("p2", template_hash(world.entry("p2"))))
    assert "p5" in world.due()


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        pytest.param({"paused": True}, {}, id="a user paused it"),
        pytest.param({}, {"conditions": [{"type": "Progressing", "status": "False"}]}, id="it is blocked"),
    ],
)
async def test_a_rollout_that_makes_no_progress_frees_its_place(spec, status):
    world = World()
    world.api.may_answer.set()
    for name in NAMES[:MAX_ROLLING]:
        await world.converge(name)
    stuck = rendered("p2", template_hash(world.entry("p2")), rolls=True)
    world.inventory.upsert_deployment(
        {**stuck, "spec": {**stuck["spec"], **spec}, "status": {**stuck["status"], **status}}
    )
    assert "p5" in world.due()


async def test_what_blocked_the_last_template_does_not_end_this_rollout():
    world = World()
    world.api.may_answer.set()
    for name in NAMES[:MAX_ROLLING]:
        await world.converge(name)
    stuck = rendered("p2", template_hash(world.entry("p2")), rolls=True)
    stuck["metadata"]["generation"] = 2
    stuck["status"] |= {"observedGeneration": 1, "conditions": [{"type": "Progressing", "status": "False"}]}
    world.inventory.upsert_deployment(stuck)
    assert "p5" not in world.due()


async def test_a_leader_that_loses_its_lease_before_it_wrote_keeps_no_place():
    world = World()
    world.leading = False
    for name in NAMES[:MAX_ROLLING]:
        with pytest.raises(NotLeadingError):
            await world.converge(name)
    assert world.due() == NAMES


async def test_a_deleted_pool_frees_its_place():
    world = World()
    world.api.may_answer.set()
    for name in NAMES[:MAX_ROLLING]:
        await world.converge(name)
    assert world.due() == []
    world.inventory.changes.take("main")
    world.inventory.forget_pool(pool("p2"))
    world.appliers["p2"].close()
    assert world.inventory.changes.take("main") >= {"uid-p5"}, "and wakes one that waits"
    assert world.due() == ["p5"]


async def test_a_waiting_pool_that_its_user_changes_waits_no_more():
    world = World()
    world.api.may_answer.set()
    for name in NAMES[:MAX_ROLLING]:
        await world.converge(name)
    assert world.due() == []
    world.inventory.upsert_deployment(rendered("p5", template_hash(world.entry("p5"))))
    assert world.due() == []
    world.inventory.changes.take("main")
    world.appliers["p2"].close()
    assert world.inventory.changes.take("main") == set(), "there is nothing to roll"


async def test_a_waiting_pool_that_another_client_changed_is_not_due_for_a_repair():
    world = World()
    world.inventory.upsert_deployment(rendered("p5", template_hash(world.entry("p5"))))
    assert not world.appliers["p5"].is_due(1), "its spec is known"
    world.api.may_answer.set()
    for name in NAMES[:MAX_ROLLING]:
        await world.converge(name)
    changed = world.asked(rendered("p5", OLD))
    changed["spec"]["template"] = {"spec": {"hostNetwork": True}}
    world.inventory.upsert_deployment(changed)
    assert world.due() == []
    assert world.appliers["p5"].due_in_seconds() is None, "or its loop would never pause"
