"""What the controller writes, against a real API server: field ownership, conflicts, repairs, statuses, Events."""

from __future__ import annotations

import pytest

from jobtide_controller.api.base import PoolRef
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.write.apply import REPAIR_SECONDS, ConflictError
from jobtide_controller.kube.write.events import EventRecorder
from jobtide_controller.render import deployment
from jobtide_controller.telemetry.events import EventRefused, ReasonChanged
from tests.cluster.bench import Bench, env_of, owners


async def test_each_manager_owns_its_own_fields_and_nothing_else(bench, pool):
    deployment = await bench.make(pool(), replicas=3)
    owned = owners(deployment)
    assert set(owned) == {"jobtide-template", "jobtide-scale"}
    assert set(owned["jobtide-scale"]) == {"f:replicas"}
    assert "f:template" in owned["jobtide-template"]
    assert "f:replicas" not in owned["jobtide-template"]
    assert deployment["spec"]["replicas"] == 3


async def test_the_pool_owns_its_deployment(bench, pool):
    deployment = await bench.make(pool(), replicas=0)
    (reference,) = deployment["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["name"]) == ("JobWorkerPool", "thumbs")
    assert reference["uid"] == bench.entry.uid
    assert reference["controller"]


async def test_a_steady_pool_costs_no_write_at_all(bench, pool):
    deployment = await bench.make(pool(), replicas=2)
    assert await bench.converge(2) == []
    assert not bench.applier.is_due(2)
    await bench.see()
    assert await bench.converge(2) == []
    assert bench.deployment()["metadata"]["resourceVersion"] == deployment["metadata"]["resourceVersion"]


async def test_a_restarted_controller_finds_nothing_to_write(bench, pool, api, kubectl):
    await bench.make(pool(), replicas=2)
    again = Bench(api, kubectl)
    await again.see()
    assert not again.applier.is_due(2)


async def test_an_edited_pool_changes_the_template_and_leaves_the_replicas(bench, worker):
    await bench.make(worker(COLOUR="blue"), replicas=5)
    bench.kubectl.apply(worker(COLOUR="red"))
    await bench.see()
    assert await bench.converge(5) == ["template"]
    deployment = bench.deployment()
    assert env_of(deployment)["COLOUR"] == "red"
    assert deployment["spec"]["replicas"] == 5


async def test_what_a_pool_no_longer_says_goes_from_the_deployment(bench, worker):
    await bench.make(worker(COLOUR="blue", SIZE="1"), replicas=1)
    bench.kubectl.apply(worker(SIZE="1"))
    await bench.see()
    await bench.converge(1)
    assert "COLOUR" not in env_of(bench.deployment())


async def test_scaling_writes_the_number_alone(bench, pool):
    before = await bench.make(pool(), replicas=1)
    assert await bench.converge(7) == ["replicas"]
    after = bench.deployment()
    assert after["spec"] == {**before["spec"], "replicas": 7}
    assert await bench.converge(0) == ["replicas"]
    assert not bench.applier.is_due(0)
    assert bench.deployment()["spec"]["replicas"] == 0
    await bench.see()
    assert not bench.applier.is_due(0)


async def test_replicas_that_another_client_set_are_corrected_without_the_template(bench, pool):
    await bench.make(pool(), replicas=2)
    bench.kubectl("scale", "deployment", "thumbs-worker", "--replicas=9")
    await bench.see()
    assert await bench.converge(2) == ["replicas"]
    assert bench.deployment()["spec"]["replicas"] == 2
    assert set(owners(bench.deployment())["jobtide-scale"]) == {"f:replicas"}


async def test_what_others_add_stays(bench, pool):
    await bench.make(pool(), replicas=1)
    bench.kubectl("annotate", "deployment", "thumbs-worker", "acme.dev/note=mine")
    bench.kubectl("rollout", "restart", "deployment", "thumbs-worker")
    bench.seconds += REPAIR_SECONDS
    await bench.see()
    await bench.converge(4)
    deployment = bench.deployment()
    assert deployment["metadata"]["annotations"]["acme.dev/note"] == "mine"
    assert "kubectl.kubernetes.io/restartedAt" in deployment["spec"]["template"]["metadata"]["annotations"]


async def test_somebodys_edit_of_our_fields_is_put_right_but_not_fought_over(bench, pool):
    await bench.make(pool(), replicas=1)
    bench.kubectl("set", "image", "deployment/thumbs-worker", "worker=evil:1")
    await bench.see()
    assert await bench.converge(1) == [], "not within half a minute of our own last write"
    bench.seconds += REPAIR_SECONDS
    assert await bench.converge(1) == ["template"]
    assert bench.deployment()["spec"]["template"]["spec"]["containers"][0]["image"] == "acme/jobs:1"
    assert await bench.converge(1) == []


@pytest.mark.parametrize("labelled", [False, True], ids=["unlabelled", "with our labels"])
async def test_a_deployment_that_is_not_ours_is_refused_and_left_as_it_is(bench, pool, labelled):
    labels = {"app": "theirs"}
    foreign = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "thumbs-worker", "labels": {**labels, **(deployment.MANAGED_BY if labelled else {})}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}},
        },
    }
    assert bench.kubectl.apply(foreign).returncode == 0
    before = bench.deployment()
    with pytest.raises(
        ConflictError, match=r"thumbs-worker exists and is made by kubectl.*delete it, or create the pool"
    ):
        await bench.make(pool(), replicas=1)
    assert bench.deployment() == before


async def test_a_pool_takes_its_own_deployment_up_again_when_the_event_was_missed(bench, pool, api, kubectl):
    await bench.make(pool(), replicas=2)
    blind = Bench(api, kubectl)
    await blind.see()
    blind.inventory.forget_deployment(blind.deployment())
    await blind.converge(2)
    assert blind.deployment()["spec"]["replicas"] == 2


async def test_a_deployment_that_another_client_deleted_is_created_again_whole(bench, pool):
    first = await bench.make(pool(), replicas=2)
    bench.kubectl("delete", "deployment", "thumbs-worker")
    assert await bench.converge(5) == ["replicas", "create", "template", "replicas"], "not from a number alone"
    second = bench.deployment()
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert second["spec"]["replicas"] == 5
    assert set(owners(second)["jobtide-scale"]) == {"f:replicas"}


async def test_a_write_that_was_decided_before_another_clients_is_refused(bench, pool, api, kubectl):
    await bench.make(pool(), replicas=2)
    successor = Bench(api, kubectl)
    await successor.see()
    await successor.converge(7)
    for late in (bench.applier._replicas(bench.entry, 0), bench.applier._template(bench.entry)):
        with pytest.raises(ApiError) as refused:
            await late
        assert refused.value.code == 409
    assert bench.deployment()["spec"]["replicas"] == 7
    assert await bench.converge(7) == ["replicas"], "refused once; after another look nothing is to do"


async def test_an_interrupted_creation_is_finished(bench, pool, api, kubectl):
    bench.kubectl.apply(pool())
    await bench.see()
    await bench.applier._create(bench.entry, 4)
    again = Bench(api, kubectl)
    await again.see()
    assert await again.converge(4) == ["template", "replicas"]
    deployment = again.deployment()
    assert set(owners(deployment)["jobtide-scale"]) == {"f:replicas"}
    assert deployment["spec"]["replicas"] == 4


async def test_a_template_that_the_api_server_refuses_is_reported_in_its_words(bench, pool):
    container = {"name": "worker", "image": "acme/jobs:1", "resources": {"limits": {"cpu": "lots"}}}
    with pytest.raises(ApiError) as refused:
        await bench.make(pool(template={"spec": {"containers": [container]}}), replicas=1)
    assert refused.value.code in {400, 422, 500}
    assert "lots" in str(refused.value) or "quantities must match" in str(refused.value)


async def make_pods(bench, *names):
    for name in names:
        made = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": deployment.labels(bench.entry.pool)},
            "spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]},
        }
        assert bench.kubectl.apply(made).returncode == 0
    await bench.see()


async def test_pods_that_got_work_after_the_decision_are_not_stopped(bench, pool):
    await bench.make(pool(), replicas=3)
    await make_pods(bench, "one", "two", "three")
    uids = [bench.kubectl("get", "pod", name, "-o", "jsonpath={.metadata.uid}") for name in ("one", "two")]
    bench.busy_uids = set(uids)

    assert await bench.converge(1) == []
    assert (await bench.converge(2))[-1] == "replicas"


async def test_idle_pods_are_marked_before_the_number_drops(bench, pool):
    await bench.make(pool(), replicas=3)
    await make_pods(bench, "busy", "idle-1", "idle-2")
    uid = bench.kubectl("get", "pod", "busy", "-o", "jsonpath={.metadata.uid}")
    bench.busy_uids = {uid}
    assert await bench.converge(1) == ["cost", "cost", "replicas"]
    costs = {
        name: bench.kubectl.get("pod", name)["metadata"]
        .get("annotations", {})
        .get("controller.kubernetes.io/pod-deletion-cost")
        for name in ("busy", "idle-1", "idle-2")
    }
    assert costs["busy"] is None
    assert int(costs["idle-1"]) < 0
    assert int(costs["idle-2"]) < 0


async def test_a_status_is_written_beside_the_spec(bench, pool):
    bench.kubectl.apply(pool())
    await bench.see()
    generation = bench.entry.pool.metadata.generation
    condition = {
        "type": "Ready", "status": "True", "reason": "Applied", "message": "", "observedGeneration": generation,
        "lastTransitionTime": "2026-11-24T12:00:00Z",
    }  # fmt: skip
    bench.statuses.write(bench.entry, {"pending": 7, "conditions": [condition]})
    await bench.queue.idle()
    stored = bench.kubectl.get("jobworkerpool", "thumbs")
    assert stored["status"]["pending"] == 7
    assert stored["metadata"]["generation"] == generation
    assert bench.kubectl("wait", "--for=condition=Ready", "jobworkerpool/thumbs", "--timeout=60s")
    await bench.see()
    before = len(bench.events)
    bench.statuses.write(bench.entry, stored["status"])
    await bench.queue.idle()
    assert bench.events[before:] == [], "what is stored is not written again"


async def test_a_field_that_left_the_status_goes(bench, pool):
    bench.kubectl.apply(pool())
    await bench.see()
    for status in ({"pending": 7, "desiredReplicas": 1}, {"desiredReplicas": 2}):
        bench.statuses.write(bench.entry, status)
        await bench.queue.idle()
    assert "pending" not in bench.kubectl.get("jobworkerpool", "thumbs")["status"]


async def test_a_status_that_hit_a_new_pool_of_the_name_is_soon_replaced(bench, pool):
    bench.kubectl.apply(pool())
    await bench.see()
    old = bench.entry
    bench.kubectl("delete", "jobworkerpool", "thumbs")
    bench.kubectl.apply(pool())
    bench.statuses.write(old, {"pending": 7})
    await bench.queue.idle()
    assert old.status is None, "it is not taken for the old pool's"
    await bench.see()
    status = {"observedGeneration": 1, "pending": 0}
    bench.statuses.write(bench.entry, status)
    await bench.queue.idle()
    assert bench.kubectl.get("jobworkerpool", "thumbs")["status"] == status


async def test_an_event_is_shown_by_kubectl_describe(bench, pool):
    bench.kubectl.apply(pool())
    await bench.see()
    recorder = EventRecorder(bench.writer, bench.events.append, submit=bench.queue.submit, instance="jobtide-0")
    ref = PoolRef(bench.kubectl.namespace, "thumbs")
    recorder(ReasonChanged(ref, bench.entry.uid, "Ready", False, "Conflict", "it is not ours"))
    await bench.queue.idle()
    assert [event for event in bench.events if isinstance(event, EventRefused)] == []
    described = bench.kubectl("describe", "jobworkerpool", "thumbs")
    assert "Conflict" in described
    assert "it is not ours" in described
