"""A hostile namespace beside a well-behaved pool, with the real controller: it takes and learns nothing."""

from __future__ import annotations

import itertools
import json
import socket
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.cluster.controllers import condition, replicas_of, until

BUDGET = 40  # twenty workers
_numbers = itertools.count(1)


@pytest.fixture
def hostile(anywhere):
    """kubectl in another team's namespace."""
    name = f"hostile-{next(_numbers)}"
    anywhere("create", "namespace", name)
    return replace(anywhere, namespace=name)


@pytest.fixture
def both(controller, kubectl, hostile):
    """Starts a controller that watches both namespaces."""

    def start(**settings):
        return controller(JOBTIDE_NAMESPACES=f"{kubectl.namespace},{hostile.namespace}", **settings)

    return start


def test_pool_of_a_namespace_that_is_not_listed_gets_no_workers_and_learns_nothing(
    both, kubectl, hostile, pool, insert
):
    kubectl.apply(pool())
    hostile.apply(pool("spy", types=["thumbs", "others"], minReplicas=9, maxReplicas=10_000))
    insert(417)
    both(JOBTIDE_DATABASE_NAMESPACES=json.dumps({"main": [kubectl.namespace]}))
    until(lambda: (replicas_of(kubectl) or 0) >= 2)
    until(lambda: condition(hostile, "Ready", "spy").get("reason") == "NamespaceNotAllowed")
    assert "databases.main.namespaces in the chart's values" in condition(hostile, "Ready", "spy")["message"]
    until(lambda: replicas_of(hostile, "spy") == 0)
    status = hostile.get("jobworkerpool", "spy")["status"]
    assert (status["types"], status["tenants"], status.get("tenantsTotal")) == ([], [], None)
    assert not [word for word in ("417", kubectl.namespace) if word in json.dumps(status)]
    assert condition(kubectl, "Ready")["status"] == "True"
    assert condition(kubectl, "ScalingActive").get("reason") != "TypesOverlap"


def test_idle_pool_with_a_great_min_replicas_leaves_half_of_the_budget_to_jobs(both, kubectl, hostile, pool, insert):
    hostile.apply(pool("greedy", types=["nothing"], minReplicas=10_000, maxReplicas=10_000))
    both(JOBTIDE_CONNECTION_BUDGETS=json.dumps({"main": BUDGET}))
    until(lambda: replicas_of(hostile, "greedy") == BUDGET // 2)
    kubectl.apply(pool(jobsPerWorker=1, maxReplicas=400))
    insert(400)
    until(lambda: replicas_of(hostile, "greedy") == BUDGET // 4)
    until(lambda: replicas_of(kubectl) == BUDGET // 4)


@pytest.mark.parametrize("name", ["thumbs-worker", "decoy"])
def test_foreign_deployment_with_the_uid_of_a_pool_and_a_finalizer_blocks_nothing(
    both, kubectl, hostile, pool, insert, name
):
    kubectl.apply(pool())
    uid = kubectl.get("jobworkerpool", "thumbs")["metadata"]["uid"]
    labels = {"app.kubernetes.io/name": "jobtide-worker", "jobtide.dev/pool": "thumbs"}
    reference = {"apiVersion": "jobtide.dev/v1alpha1", "kind": "JobWorkerPool", "name": "thumbs", "uid": uid}
    decoy = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": {**labels, "app.kubernetes.io/managed-by": "jobtide"},
            "ownerReferences": [{**reference, "controller": True}],
            "finalizers": ["example.com/stays"],
        },
        "spec": {
            "replicas": 7,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "worker", "image": "i"}]}},
        },
    }
    assert hostile.apply(decoy).returncode == 0
    insert(8)
    both()
    until(lambda: (replicas_of(kubectl) or 0) >= 2)
    until(lambda: condition(kubectl, "Ready").get("status") == "True")
    assert hostile.get("deployment", name)["spec"]["replicas"] == 7
    hostile("patch", "deployment", name, "--type=merge", '--patch={"metadata":{"finalizers":null}}')


def test_idle_connections_take_no_probe_from_the_controller(controller, kubectl, pool):
    kubectl.apply(pool())
    running = controller()
    until(lambda: running.port and condition(kubectl, "Ready"))
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=10)).sendall(b"GET /")
        assert running.get("/healthz")[0] == 200
        assert running.get("/readyz") == (200, "ok\n")
        assert "jobtide_leader" in running.get("/metrics")[1]
