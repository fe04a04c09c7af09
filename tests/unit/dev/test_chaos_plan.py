"""The plan and the workload depend on the seed alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.chaos import workload
from dev.chaos.plan import CALM_SECONDS, MANNERS, Kind, Victim, make_plan
from dev.chaos.settings import read_settings
from dev.chaos.workload import (
    LEASE_SECONDS,
    LONG,
    MAX_ATTEMPTS,
    MAX_REPLICAS,
    MAX_WAIT_SECONDS,
    POISON,
    POOL_OF,
    RARE,
    REFUSED_CLAIM,
    REFUSED_ENDS,
    REFUSED_RESULT,
    SHORT,
    TENANTS,
    make_workload,
)
from dev.machine.errors import DevError

POOLS = Path(workload.__file__).with_name("pools.yaml")


def test_the_same_seed_makes_the_same_plan_and_the_same_jobs() -> None:
    assert make_plan(7, 600) == make_plan(7, 600)
    assert make_workload(7, 600) == make_workload(7, 600)


def test_another_seed_makes_another_plan_and_other_jobs() -> None:
    assert make_plan(7, 600) != make_plan(8, 600)
    assert make_workload(7, 600) != make_workload(8, 600)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    shorter = make_plan(7, 120)

    assert make_plan(7, 600)[: len(shorter)] == shorter


def test_ten_minutes_have_every_fault_once_before_any_comes_twice() -> None:
    kinds = [fault.kind for fault in make_plan(7, 600)]

    assert set(kinds[: len(Kind)]) == set(Kind)
    assert {MANNERS[kind].victim for kind in kinds} == set(Victim)


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_is_over_before_the_end_and_lasts_as_long_as_its_kind_may(seed: int) -> None:
    at = CALM_SECONDS
    for fault in make_plan(seed, 300):
        at += fault.pause_seconds
        manner = MANNERS[fault.kind]
        assert manner.shortest_seconds <= fault.lasts_seconds <= manner.longest_seconds
        assert at + fault.lasts_seconds <= 300
        assert 0 <= fault.dice < 1


def test_some_faults_wait_for_recovery_and_some_overlap() -> None:
    assert {fault.waits for fault in make_plan(7, 600)} == {True, False}


def test_jobs_come_in_order_for_all_tenants_and_of_all_types() -> None:
    arrivals = make_workload(7, 600)

    assert all(earlier.at_seconds <= later.at_seconds for earlier, later in pairwise(arrivals))
    assert arrivals[-1].at_seconds <= 600
    assert {arrival.job.tenant for arrival in arrivals} == set(range(TENANTS))
    assert {arrival.job.type for arrival in arrivals} == set(POOL_OF)
    assert len({arrival.job.id for arrival in arrivals}) == len(arrivals)


def test_jobs_last_as_long_as_their_type_says_and_some_are_scheduled() -> None:
    jobs = [arrival.job for arrival in make_workload(7, 600)]

    assert all(20 <= job.payload["seconds"] <= 60 for job in jobs if job.type == LONG)
    assert all(0.05 <= job.payload["seconds"] <= 2 for job in jobs if job.type != LONG)
    assert {job.type for job in jobs if job.delay_seconds is not None} == {SHORT, RARE}


def test_some_short_jobs_are_marked_for_each_refusal_and_the_refused_claims_come_with_others_of_their_tenant() -> None:
    jobs = [arrival.job for arrival in make_workload(7, 600)]
    marked = [job for job in jobs if job.refused]

    assert {job.refused for job in marked} == {REFUSED_CLAIM, REFUSED_RESULT, REFUSED_ENDS}
    assert {(job.type, job.delay_seconds) for job in marked} == {(SHORT, None)}
    assert len(marked) < len(jobs) / 20
    for place, job in enumerate(jobs):
        if job.refused == REFUSED_CLAIM:
            assert {near.tenant for near in jobs[place : place + 50]} == {job.tenant}


def test_the_pools_have_the_limits_that_the_account_uses() -> None:
    pools = {pool["metadata"]["name"]: pool["spec"] for pool in yaml.safe_load_all(POOLS.read_text())}

    assert {name: pool["maxReplicas"] for name, pool in pools.items()} == MAX_REPLICAS
    assert {name: pool["maxWaitSeconds"] for name, pool in pools.items()} == MAX_WAIT_SECONDS
    assert {type_: name for name, pool in pools.items() for type_ in pool["types"]} == POOL_OF
    assert {pool["retry"]["maxAttempts"] for pool in pools.values()} == {MAX_ATTEMPTS}
    assert {name: lease_seconds(pool) for name, pool in pools.items()} == LEASE_SECONDS
    assert POISON in POOL_OF


def lease_seconds(pool: dict[str, Any]) -> float:
    (container,) = pool["template"]["spec"]["containers"]
    own = {variable["name"]: variable["value"] for variable in container.get("env", ())}
    return float(own.get("JOBTIDE_LEASE_SECONDS", "120"))


def test_without_a_seed_a_new_one_is_made() -> None:
    settings = read_settings({}, new_seed=lambda below: below - 1)

    assert (settings.seconds, settings.seed) == (600, 2**32 - 2)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        pytest.param({"SECONDS": "ten"}, "SECONDS='ten': expected a whole number from 30 to 86400", id="a-word"),
        pytest.param({"SECONDS": "29"}, "SECONDS='29'", id="too-short"),
        pytest.param({"SEED": "-1"}, "SEED='-1': expected a whole number from 0", id="negative-seed"),
    ],
)
def test_an_invalid_setting_is_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(DevError, match=words):
        read_settings(environ)
