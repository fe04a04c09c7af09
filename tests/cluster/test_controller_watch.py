"""The watch, the lists and the lease, against a real API server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.control_plane import ControlPlane, control_plane
from jobtide_controller.api.base import PoolRef
from jobtide_controller.kube.api.client import Api, ApiError, load_configuration
from jobtide_controller.kube.api.lease import Elector, Timing
from jobtide_controller.kube.inventory import watch
from jobtide_controller.kube.inventory.relist import Relister
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.kube.inventory.watch import Watch
from jobtide_controller.loop.ports import GoneWorker, Presence
from jobtide_controller.render import deployment
from jobtide_controller.telemetry.events import Relisted

# About a tenth of the real times: the tests prove their order.
FAST = Timing(lease_seconds=1.0, hold_seconds=0.6, renew_seconds=0.2, poll_seconds=0.1, request_seconds=0.3)


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value; fails at the deadline."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := condition()):
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"waited {seconds:g} s without success")
        await asyncio.sleep(0.02)
    return found


@pytest.fixture
def kubeconfig(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    return plane.kubeconfig


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[Api]:
    made = Api(await load_configuration())
    yield made
    await made.close()


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def inventory(events: list[Any]) -> Inventory:
    return Inventory(events.append)


@contextlib.asynccontextmanager
async def watching(inventory: Inventory, *namespaces: str) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Watch(inventory, namespaces, lambda _: None).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def worker_pod(name: str, of: str) -> dict[str, Any]:
    labels = {
        deployment.NAME_LABEL: deployment.WORKER_NAME, deployment.POOL_LABEL: of, **deployment.MANAGED_BY
    }  # fmt: skip
    container = {"name": "worker", "image": "acme/jobs:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


class TestWatch:
    async def test_pools_and_pods_are_followed_from_creation_to_deletion(self, kubeconfig, inventory, kubectl, pool):
        thumbs = PoolRef(kubectl.namespace, "thumbs")
        kubectl.apply(pool())
        async with watching(inventory, kubectl.namespace):
            entry = await until(lambda: inventory.pools.by_ref(thumbs))
            kubectl.apply(pool(maxReplicas=7))
            await until(lambda: inventory.pools.get(entry.uid).pool.spec.max_replicas == 7)
            kubectl.apply(worker_pod("a", "thumbs"))
            (pod,) = await until(lambda: inventory.pods.of(thumbs))
            assert inventory.pods.presence_of(pod.uid) is Presence.ALIVE
            kubectl("delete", "pod", "a", "--grace-period=0", "--force")
            await until(lambda: inventory.pods.presence_of(pod.uid) == GoneWorker(gives_back=True))
            kubectl("delete", "jobworkerpool", "thumbs")
            await until(lambda: inventory.pools.get(entry.uid) is None)

    async def test_kopf_remembers_no_object(self, kubeconfig, inventory, kubectl, pool, monkeypatch):
        memories = watch._NoMemories()
        monkeypatch.setattr(watch, "_NoMemories", lambda: memories)
        kubectl.apply(pool())
        async with watching(inventory, kubectl.namespace):
            await until(lambda: inventory.pools.by_ref(PoolRef(kubectl.namespace, "thumbs")))
            kubectl.apply(pool(maxReplicas=7))
            await until(
                lambda: inventory.pools.by_ref(PoolRef(kubectl.namespace, "thumbs")).pool.spec.max_replicas == 7
            )
        assert list(memories.iter_all_memories()) == []

    async def test_nothing_is_written_on_the_users_objects(self, kubeconfig, inventory, kubectl, pool):
        kubectl.apply(pool())
        before = kubectl.get("jobworkerpool", "thumbs")
        async with watching(inventory, kubectl.namespace):
            await until(lambda: inventory.pools.by_ref(PoolRef(kubectl.namespace, "thumbs")))
            kubectl.apply(pool("second"))
            await until(lambda: inventory.pools.by_ref(PoolRef(kubectl.namespace, "second")))
        assert kubectl.get("jobworkerpool", "thumbs") == before
        assert "finalizers" not in before["metadata"]

    async def test_other_namespaces_and_other_pods_are_not_followed(
        self, kubeconfig, inventory, kubectl, anywhere, pool
    ):
        foreign = worker_pod("foreign", "thumbs")
        foreign["metadata"]["labels"] = {"app": "theirs"}
        kubectl.apply(foreign)
        anywhere.apply(pool("elsewhere"))
        try:
            async with watching(inventory, kubectl.namespace):
                kubectl.apply(pool())
                await until(lambda: inventory.pools.by_ref(PoolRef(kubectl.namespace, "thumbs")))
            assert len(inventory.pools) == 1
            assert len(inventory.pods) == 0
        finally:
            anywhere("delete", "jobworkerpool", "elsewhere")


class TestOutage:
    @pytest.fixture
    def own_plane(self, tmp_path: Path) -> Iterator[ControlPlane]:
        with control_plane(tmp_path / "plane") as running:
            yield running

    @pytest.fixture
    def own_kubectl(self, own_plane: ControlPlane, kubectl: Any) -> Any:
        crd = Path(__file__).parents[2] / "crds" / "jobworkerpools.yaml"
        own = type(kubectl)(own_plane.kubectl, own_plane.kubeconfig)
        own("apply", "--server-side", "-f", str(crd))
        own("wait", "--for=condition=Established", "--timeout=60s", "crd/jobworkerpools.jobtide.dev")
        return own

    async def test_a_watch_that_was_cut_continues_when_the_api_server_is_back(
        self, own_plane, own_kubectl, monkeypatch, inventory, pool
    ):
        monkeypatch.setenv("KUBECONFIG", str(own_plane.kubeconfig))
        own_kubectl.apply(pool("before"))
        async with watching(inventory, "default") as watch:
            await until(lambda: inventory.pools.by_ref(PoolRef("default", "before")))
            own_plane.stop_apiserver()
            await asyncio.to_thread(own_plane.start_apiserver)
            own_kubectl.apply(pool("after"))
            await until(lambda: watch.done() or inventory.pools.by_ref(PoolRef("default", "after")), seconds=60)
            assert not watch.done()


class TestLists:
    async def test_a_full_list_fills_an_empty_inventory(self, api, inventory, events, kubectl, pool):
        kubectl.apply(pool())
        kubectl.apply(worker_pod("a", "thumbs"))
        await Relister(api, inventory, (kubectl.namespace,), events.append).fill()
        assert len(inventory.pools) == 1
        assert len(inventory.pods) == 1
        assert [event.repaired for event in events if isinstance(event, Relisted)] == [0, 0, 0]

    async def test_a_list_repairs_what_the_watch_missed(self, api, inventory, events, kubectl, pool):
        relister = Relister(api, inventory, (kubectl.namespace,), events.append)
        kubectl.apply(pool())
        kubectl.apply(worker_pod("a", "thumbs"))
        await relister.fill()
        (pod,) = inventory.pods.of(PoolRef(kubectl.namespace, "thumbs"))
        kubectl("delete", "pod", "a", "--grace-period=0", "--force")
        kubectl("delete", "jobworkerpool", "thumbs")
        events.clear()
        assert await relister.run_once()
        assert len(inventory.pools) == 0
        assert inventory.pods.presence_of(pod.uid) == GoneWorker(gives_back=True)
        repaired = {event.kind: event.repaired for event in events if isinstance(event, Relisted)}
        assert repaired == {"jobworkerpools": 1, "deployments": 0, "pods": 1}

    async def test_the_pages_of_a_list_are_joined(self, api, inventory, events, kubectl, pool, monkeypatch):
        monkeypatch.setattr("jobtide_controller.kube.api.client.PAGE", 2)
        for number in range(5):
            kubectl.apply(pool(f"p{number}"))
        await Relister(api, inventory, (kubectl.namespace,), events.append).fill()
        assert len(inventory.pools) == 5

    async def test_pod_uids_includes_pods_that_are_no_workers(self, api, inventory, events, kubectl):
        relister = Relister(api, inventory, (kubectl.namespace,), events.append)
        assert await relister.pod_uids() == set()
        foreign = worker_pod("foreign", "thumbs")
        foreign["metadata"]["labels"] = {"app": "theirs"}
        kubectl.apply(foreign)
        uid = kubectl.get("pod", "foreign")["metadata"]["uid"]
        assert uid in await Relister(api, inventory, (), events.append).pod_uids()
        assert await relister.pod_uids() == {uid}

    async def test_a_refusal_has_the_api_servers_message(self, api):
        with pytest.raises(ApiError) as refused:
            await api.get("/api/v1/namespaces/nowhere")
        assert refused.value.code == 404
        assert 'namespaces "nowhere" not found' in str(refused.value)

    async def test_a_missing_answer_is_an_error_that_names_the_request(self, api):
        with pytest.raises(ApiError) as silent:
            await api.get("/api/v1/pods", timeout_seconds=0.000001)
        assert silent.value.code == 0
        assert "no answer to GET /api/v1/pods" in str(silent.value)


class TestLease:
    @pytest.fixture
    def elector(self, api, events, kubectl):
        def make(identity: str, timing: Timing = FAST) -> Elector:
            return Elector(
                api, events.append, namespace=kubectl.namespace, name="jobtide", identity=identity, timing=timing
            )

        return make

    async def test_a_second_elector_takes_over_after_the_first_stopped_and_never_leads_beside_it(
        self, elector, kubectl
    ):
        a, b = elector("a"), elector("b")
        tasks = {a: asyncio.create_task(a.run()), b: asyncio.create_task(b.run())}
        led = set()

        def leader() -> Elector | None:
            held = [one for one in (a, b) if one.held()]
            assert len(held) < 2
            led.update(held)
            return held[0] if held else None

        crashed = await until(leader)
        tasks[crashed].cancel()
        await until(lambda: leader() not in {None, crashed})
        assert led == {a, b}
        assert kubectl.get("lease", "jobtide")["spec"]["leaseTransitions"] >= 2
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())

    async def test_a_released_lease_is_taken_at_once(self, elector):
        a, b = elector("a"), elector("b")
        await a.step()
        await b.step()
        await a.release()
        await b.step()
        assert (a.held(), b.held()) == (False, True)

    async def test_one_of_many_concurrent_electors_leads(self, elector):
        electors = [elector(str(number), Timing()) for number in range(10)]
        for _ in range(5):
            await asyncio.gather(*(one.step() for one in electors))
            assert sum(one.held() for one in electors) == 1
