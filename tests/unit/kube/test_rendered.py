"""Which fields of a pool its pods are made from: a change of one of them is the user's, and applied at once."""

from __future__ import annotations

import pytest

from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.kube.write.apply import asked_hash, template_hash
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.render import deployment
from tests.unit.kube.objects import pool

TEMPLATE = {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:2"}]}}
OTHER = {
    "types": ["other"],
    "database": "other",
    "maxWaitSeconds": 7,
    "minReplicas": 1,
    "maxReplicas": 77,
    "replicas": 3,
    "concurrency": 9,
    "tenants": {"maxConcurrent": 3},
    "scaleDown": {"stabilizationSeconds": 7},
    "drainSeconds": 77,
    "retry": {"maxAttempts": 2},
    "databaseSecret": {"name": "other", "key": "url"},
    "paused": True,
    "template": TEMPLATE,
}


def entry(**spec):
    raw = pool(**spec)
    return PoolEntry("uid", None, JobWorkerPool.model_validate(raw), 1, None)


@pytest.mark.parametrize("field", OTHER)
def test_what_changes_the_pods_is_known_as_asked_for_and_nothing_else_is(field):
    before, after = entry(types=["thumbs"]), entry(**{"types": ["thumbs"], field: OTHER[field]})
    renders = template_hash(before) != template_hash(after)
    asks = asked_hash(before) != asked_hash(after)
    assert renders == asks


def test_every_field_that_pods_are_made_from_is_tried():
    by_alias = {field.alias or name: name for name, field in type(entry().pool.spec).model_fields.items()}
    assert set(deployment.RENDERED) <= {by_alias[alias] for alias in OTHER}


def test_a_default_that_is_written_out_asks_for_nothing_new():
    concurrency = entry().pool.spec.concurrency
    assert asked_hash(entry()) == asked_hash(entry(concurrency=concurrency))
