"""A new release renders every pool differently: a few pools roll at a time, and nothing else waits for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from jobtide_controller.kube.write.rollouts import AT_ONCE
from jobtide_controller.kube.write.work_queue import Priority, WriteRequest
from jobtide_controller.telemetry.events import WriteFailed, Wrote
from tests.cluster.bench import Bench

NAMES = [f"pool-{number}" for number in range(AT_ONCE + 3)]


class Fleet:
    """Some pools, and the Deployments' status as their controller would write it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    @property
    def entries(self) -> dict[str, Any]:
        return {entry.ref.name: entry for entry in self.bench.inventory.pools}

    async def converge(self, replicas: int = 1, names: list[str] | None = None) -> dict[str, list[str]]:
        """What was written, by pool, where anything was."""
        written = {}
        for name in names or NAMES:
            before = len(self.bench.events)
            entry = self.entries[name]
            fleet = self.bench.inventory.fleet(entry, self.bench.reading)
            await self.bench.applier.converge(entry.uid, replicas, lambda fleet=fleet: fleet)
            written[name] = [event.what for event in self.bench.events[before:] if isinstance(event, Wrote)]
        return {name: steps for name, steps in written.items() if steps}

    async def finish(self, name: str, **status: Any) -> None:
        """Its pods are all of the new template, or what `status` says."""
        deployment = f"{name}-worker"
        generation = self.bench.kubectl.get("deployment", deployment)["metadata"]["generation"]
        done = {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, **status}
        patch = json.dumps({"status": done})
        self.bench.kubectl("patch", "deployment", deployment, "--subresource=status", "--type=merge", "-p", patch)
        await self.bench.see()

    async def upgrade(self) -> None:
        """An older release applied these: what it rendered had another hash, and one variable less."""
        patch = {
            "metadata": {"annotations": {"jobtide.dev/template-hash": "of-another-release"}},
            "spec": {"template": {"metadata": {"labels": {"app.kubernetes.io/instance": "before"}}}},
        }
        for name in NAMES:
            self.bench.kubectl("patch", "deployment", f"{name}-worker", "--type=merge", "-p", json.dumps(patch))
        await self.bench.see()


@pytest.fixture
async def fleet(bench: Bench, pool: Callable[..., dict[str, Any]]) -> Fleet:
    for name in NAMES:
        assert bench.kubectl.apply(pool(name)).returncode == 0
    await bench.see()
    made = Fleet(bench)
    await made.converge()
    for name in NAMES:
        await made.finish(name)
    return made


def woken(fleet: Fleet) -> set[str]:
    uids = fleet.bench.inventory.changes.take("main")
    return {name for name, entry in fleet.entries.items() if entry.uid in uids}


async def test_a_few_roll_at_once_and_the_next_when_one_is_done(fleet):
    await fleet.upgrade()
    assert await fleet.converge() == {name: ["template"] for name in NAMES[:AT_ONCE]}
    assert await fleet.converge() == {}
    woken(fleet)
    await fleet.finish(NAMES[0])
    assert await fleet.converge(names=[NAMES[0]]) == {}
    assert woken(fleet) >= set(NAMES[AT_ONCE:]), "who waited is looked at again"
    assert await fleet.converge() == {NAMES[AT_ONCE]: ["template"]}


async def test_who_waits_for_a_turn_is_at_rest(fleet):
    await fleet.upgrade()
    await fleet.converge()
    last = fleet.entries[NAMES[-1]]
    assert not fleet.bench.applier.is_due(last, 1)


async def test_a_number_of_workers_waits_for_no_rollout(fleet):
    await fleet.upgrade()
    await fleet.converge()
    assert await fleet.converge(replicas=7, names=NAMES[-1:]) == {NAMES[-1]: ["replicas"]}
    assert fleet.bench.kubectl.get("deployment", f"{NAMES[-1]}-worker")["spec"]["replicas"] == 7


async def test_what_a_user_changes_waits_for_no_rollout(fleet, pool):
    await fleet.upgrade()
    await fleet.converge()
    fleet.bench.kubectl.apply(pool(NAMES[-1], concurrency=9))
    await fleet.bench.see()
    assert await fleet.converge(names=NAMES[-1:]) == {NAMES[-1]: ["template"]}


async def test_one_that_is_blocked_lets_the_next_one_try(fleet):
    await fleet.upgrade()
    await fleet.converge()
    blocked = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    await fleet.finish(NAMES[1], updatedReplicas=0, conditions=[blocked])
    assert await fleet.converge() == {NAMES[AT_ONCE]: ["template"]}


async def test_a_pool_that_is_gone_gives_its_turn_away(fleet):
    await fleet.upgrade()
    await fleet.converge()
    fleet.bench.applier.forget(fleet.entries[NAMES[0]].uid)
    assert await fleet.converge(names=NAMES[1:]) == {NAMES[AT_ONCE]: ["template"]}


async def test_nothing_is_made_in_a_namespace_that_ends_and_nobody_is_warned(bench, pool):
    bench.kubectl.apply(pool())
    await bench.see()
    bench.kubectl("delete", "namespace", bench.kubectl.namespace, "--wait=false")
    told = []
    entry = bench.entry
    wish = WriteRequest(
        entry.uid, entry.ref, "fleet", Priority.CHANGE,
        lambda: bench.applier.converge(entry.uid, 2, lambda: bench.inventory.fleet(entry, bench.reading)),
        on_result=told.append,
    )  # fmt: skip
    bench.queue.submit(wish)
    await bench.queue.idle()
    assert [event.code for event in bench.events if isinstance(event, Wrote)] == [403]
    assert [event for event in bench.events if isinstance(event, WriteFailed)] == []
    assert told == []
    assert bench.kubectl.run("get", "deployment", "thumbs-worker").returncode != 0
