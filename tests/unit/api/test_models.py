"""The models of the resource: frozen, and tolerant of newer releases."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from jobtide_controller.api.v1alpha1 import JobWorkerPool, JobWorkerPoolSpec, Tenants

MINIMAL = {
    "apiVersion": "jobtide.dev/v1alpha1",
    "kind": "JobWorkerPool",
    "metadata": {"name": "thumbs", "namespace": "media"},
    "spec": {
        "types": ["thumbs"],
        "template": {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]}},
    },
}


def _spec(**fields) -> JobWorkerPoolSpec:
    return JobWorkerPoolSpec.model_validate({**MINIMAL["spec"], **fields})


def test_the_default_promise_is_a_minute():
    assert (_spec().wait_seconds, _spec(maxWaitSeconds=5).wait_seconds) == (60, 5)


def test_a_pool_of_a_newer_release_is_read_without_its_new_fields():
    newer = {**MINIMAL, "spec": {**MINIMAL["spec"], "priority": 7}, "status": {"forecast": 3}}
    pool = JobWorkerPool.model_validate(newer)
    assert pool.spec == JobWorkerPool.model_validate(MINIMAL).spec


def test_resource_is_frozen():
    pool = JobWorkerPool.model_validate(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        pool.spec.max_replicas = 99  # type: ignore[misc]


def test_as_object_is_what_kubernetes_stores():
    stored = JobWorkerPool.model_validate(MINIMAL).as_object()
    assert stored["spec"]["maxReplicas"] == 10
    assert "maxWaitSeconds" not in stored["spec"]
    assert JobWorkerPool.model_validate(stored).spec == JobWorkerPool.model_validate(MINIMAL).spec


def test_pause_without_a_time_zone_is_refused():
    with pytest.raises(ValidationError, match="pausedUntil"):
        _spec(paused=True, pausedUntil="2026-11-30T08:00:00")


@pytest.mark.parametrize(
    ("tenants", "tenant_id", "cap"),
    [
        pytest.param(Tenants(), "t1", None, id="no-limit"),
        pytest.param(Tenants(max_concurrent=16), "t1", 16, id="for-all-tenants"),
        pytest.param(Tenants(max_concurrent=16, overrides={"t1": 64}), "t1", 64, id="override-wins"),
        pytest.param(Tenants(overrides={"t1": 64}), "t2", None, id="override-of-another"),
    ],
)
def test_cap_of_a_tenant(tenants, tenant_id, cap):
    assert tenants.cap_of(tenant_id) == cap
