"""Copies of stored objects: only strings of the same length may be replaced in them."""

from __future__ import annotations

import pytest

from dev.bench.pools.cluster import job_type, manifest, namespace_of, pool_name
from dev.bench.pools.copies import exchanged
from jobtide_controller.api.v1alpha1 import JobWorkerPool


def test_all_names_are_replaced_in_a_stored_object():
    stored = b"\x0a\x0apool-00000\x12\x07team-00 pool-00000-worker"
    assert exchanged(stored, {"pool-00000": "pool-00042", "team-00": "team-02"}) == (
        b"\x0a\x0apool-00042\x12\x07team-02 pool-00042-worker"
    )


def test_names_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="pool-1 and pool-10 differ in length"):
        exchanged(b"", {"pool-1": "pool-10"})


@pytest.mark.parametrize("name", [pool_name, namespace_of, job_type], ids=["pool", "namespace", "type"])
def test_the_names_of_ten_thousand_pools_have_one_length(name):
    assert {len(name(number)) for number in (0, 9, 10, 99, 100, 999, 1_000, 9_999)} == {len(name(0))}


def test_the_controller_accepts_the_pools():
    assert JobWorkerPool.model_validate(manifest(7)).spec.types == ("jobs.00007",)
