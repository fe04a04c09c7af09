"""The manifests of docs/nodes-and-gpus.md: accepted as pools, valid for Kubernetes, and rendered as the page says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest
import yaml

from jobtide_controller.api.refusals import refusals
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.reading import Depth, Key
from jobtide_controller.kube.inventory.parse import DELETION_COST
from jobtide_controller.kube.inventory.pod_trouble import problem_of
from jobtide_controller.render.deployment import deployment_first_apply, selector_labels
from tests.pages import NODES_AND_GPUS, ROOT, shown
from tests.unit.decide.builders import NOW, fleet
from tests.unit.kube.waiting import NO_ROOM
from tests.unit.plugin.pools import ACME, reported

PAGE = (ROOT / NODES_AND_GPUS).read_text()


def pool_of(block: str) -> JobWorkerPool:
    document = yaml.safe_load(block)
    assert refusals(document) == []
    return JobWorkerPool.model_validate({**document, "metadata": {**document["metadata"], "uid": "1", "generation": 1}})


GPU = pool_of(shown(NODES_AND_GPUS, "pool with a GPU"))
SPOT = pool_of(shown(NODES_AND_GPUS, "pool on spot nodes"))


def pod_of(pool: JobWorkerPool) -> dict[str, Any]:
    manifest = deployment_first_apply(pool, 1)
    kubernetes_validate.validate(manifest, "1.37", strict=True)
    found: dict[str, Any] = manifest["spec"]["template"]
    return found


@pytest.mark.parametrize("pool", [GPU, SPOT], ids=["gpu", "spot"])
def test_what_the_template_sets_is_in_the_deployment_as_it_is(pool):
    pod, given = pod_of(pool), pool.spec.template
    assert pod["metadata"].get("annotations") == given.get("metadata", {}).get("annotations")
    kept = {name: value for name, value in given["spec"].items() if name != "containers"}
    assert kept.items() <= pod["spec"].items()
    assert given["spec"]["containers"][0].items() <= pod["spec"]["containers"][0].items()
    assert pod["spec"]["terminationGracePeriodSeconds"] == pool.spec.drain_seconds + 10
    assert pod["spec"]["shareProcessNamespace"] is True


def test_a_pod_of_the_gpu_pool_runs_one_job_on_one_gpu():
    (worker,) = pod_of(GPU)["spec"]["containers"]
    environment = {one["name"]: one.get("value") for one in worker["env"]}
    assert (environment["JOBTIDE_CONCURRENCY"], worker["resources"]["limits"]["nvidia.com/gpu"]) == ("1", 1)


def test_the_label_of_the_page_is_on_every_worker():
    pod = pod_of(SPOT)
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    budget = yaml.safe_load(shown(NODES_AND_GPUS, "budget of disruptions"))
    kubernetes_validate.validate(budget, "1.37", strict=True)
    for chosen in (spread["labelSelector"], budget["spec"]["selector"]):
        assert chosen["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert chosen["matchLabels"].items() <= selector_labels(SPOT).items()
    assert f"`{DELETION_COST}`" in PAGE


def test_a_grace_period_that_is_too_short_is_refused():
    document = yaml.safe_load(shown(NODES_AND_GPUS, "pool on spot nodes"))
    document["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 29
    (refusal,) = refusals(document)
    assert "terminationGracePeriodSeconds (29) must exceed drainSeconds (20) by 10 s" in refusal


def test_a_pod_without_a_node_is_named_at_once_and_stalls_its_pool_after_ten_minutes():
    problem = problem_of({"metadata": {"name": "video-worker-a"}, "status": {"conditions": [NO_ROOM]}})
    for age_seconds, stalled in ((0, ("False", "NotStalled")), (600, ("True", "Unschedulable"))):
        workers = fleet(0, starting=1)
        pod = replace(workers.pods[0], problem=problem, created_at=NOW - age_seconds)
        status = reported({Key("thumbs", ACME): Depth(due=1)}, replace(workers, pods=(pod,))).status
        assert status is not None
        found = {one.type: one for one in status.conditions}
        assert (found["Stalled"].status, found["Stalled"].reason) == stalled
        assert "pod video-worker-a: 0/3 nodes; add nodes, or change" in found["Progressing"].message
