"""A new release renders every pool differently: a few pools roll at a time, and nothing else waits for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from jobtide_controller.kube.write.rollouts import MAX_ROLLING
from jobtide_controller.kube.write.work_queue import Priority, WriteRequest
from jobtide_controller.telemetry.events import WriteFailed, Wrote
from tests.cluster.bench import Bench

NAMES = [f"pool-{number}" for number in range(MAX_ROLLING + 3)]


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
            await self.bench.converge_pool(entry, replicas)
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


async def test_a_few_roll_at_a_time_and_the_next_when_one_is_done(fleet):
    await fleet.upgrade()
    assert await fleet.converge() == {name: ["template"] for name in NAMES[:MAX_ROLLING]}
    assert await fleet.converge() == {}
    woken(fleet)
    await fleet.finish(NAMES[0])
    assert await fleet.converge(names=[NAMES[0]]) == {}
    assert woken(fleet) >= set(NAMES[MAX_ROLLING:]), "those that waited are looked at again"
    assert await fleet.converge() == {NAMES[MAX_ROLLING]: ["template"]}


async def test_a_pool_that_waits_to_roll_is_not_due(fleet):
    await fleet.upgrade()
    await fleet.converge()
    last = fleet.entries[NAMES[-1]]
    applier = fleet.bench.applier_of(last)
    assert not applier.is_due(1)
    assert applier.due_in_seconds() is None


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


async def test_a_blocked_rollout_frees_its_place(fleet):
    await fleet.upgrade()
    await fleet.converge()
    blocked = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    await fleet.finish(NAMES[1], updatedReplicas=0, conditions=[blocked])
    assert await fleet.converge() == {NAMES[MAX_ROLLING]: ["template"]}


async def test_a_deleted_pool_frees_its_place(fleet):
    await fleet.upgrade()
    await fleet.converge()
    fleet.bench.kubectl("delete", "jobworkerpool", NAMES[0])
    gone = fleet.bench.applier_of(fleet.entries[NAMES[0]])
    await fleet.bench.see()
    gone.close()
    assert await fleet.converge(names=NAMES[1:]) == {NAMES[MAX_ROLLING]: ["template"]}


async def test_nothing_is_created_in_a_terminating_namespace_and_nothing_is_reported(bench, pool):
    bench.kubectl.apply(pool())
    await bench.see()
    bench.kubectl("delete", "namespace", bench.kubectl.namespace, "--wait=false")
    results = []
    entry = bench.entry
    request = WriteRequest(
        entry.uid, entry.ref, "fleet", Priority.CHANGE,
        lambda: bench.converge_pool(entry, 2),
        on_result=results.append,
    )  # fmt: skip
    bench.queue.submit(request)
    await bench.queue.idle()
    assert [event.code for event in bench.events if isinstance(event, Wrote)] == [403]
    assert [event for event in bench.events if isinstance(event, WriteFailed)] == []
    assert results == []
    assert bench.kubectl.run("get", "deployment", "thumbs-worker").returncode != 0
