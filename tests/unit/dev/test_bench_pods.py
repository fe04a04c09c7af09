from __future__ import annotations

import json
from typing import Any

import pytest

from dev.bench.pods import burst, drain, manifests, wake
from dev.bench.pods.burst import Burst
from dev.bench.pods.drain import Drain
from dev.bench.pods.site import Claim, Workers
from dev.bench.pods.wake import Wake
from dev.stage.watch import Event
from jobtide_controller.render.deployment import MANAGED_BY, POOL_LABEL, WORKER_NAME, deployment_template_apply

WORKERS = Workers("bench.00", "pool-00-worker", "jobworkerpool/pool-00")


def pod(name: str, uid: str, *, leaving: bool = False) -> dict[str, Any]:
    metadata = {"name": name, "uid": uid, **({"deletionTimestamp": "2026-11-24T15:00:00Z"} if leaving else {})}
    return {"metadata": metadata}


def claim(pod_uid: str, claimed_at: float, ended_at: float | None) -> Claim:
    return Claim(inserted_at=0.0, claimed_at=claimed_at, ended_at=ended_at, pod_uid=pod_uid)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([claim("a", 5, 15)], {"a"}),
        ([claim("a", 5, None)], {"a"}),
        ([claim("a", 2, 9), claim("a", 9.5, 12)], {"a"}),
        ([claim("a", 2, 9)], set()),
        ([claim("a", 11, 12)], set()),
        ([claim("b", 5, 15)], set()),
        ([], set()),
    ],
    ids=[
        "its job ends later",
        "its job never ended",
        "its second job",
        "its job had ended",
        "it claimed afterwards",
        "another pod",
        "it never had one",
    ],
)
def test_a_pod_is_stopped_in_mid_job_only_while_one_of_its_jobs_runs(claims: list[Claim], expected: set[str]):
    assert drain.in_mid_job({"a": 10.0}, claims) == expected


def test_a_pod_counts_as_stopped_from_the_first_event_that_shows_it():
    events = [
        Event(1.0, "ADDED", pod("pool-00-worker-x", "a")),
        Event(2.0, "MODIFIED", pod("pool-00-worker-x", "a", leaving=True)),
        Event(3.0, "DELETED", pod("pool-00-worker-x", "a", leaving=True)),
        Event(4.0, "MODIFIED", pod("pool-01-worker-y", "b", leaving=True)),
    ]

    assert drain.stopped_at(events, WORKERS) == {"a": 2.0}


def test_all_have_claimed_when_the_last_pod_makes_its_first_claim():
    claims = [claim("a", 1, 2), claim("b", 5, 6), claim("a", 7, 8), claim("c", 9, None)]

    assert (burst.all_claimed_at(claims, 2), burst.all_claimed_at(claims, 3)) == (5, 9)


def test_a_wake_is_judged_by_the_second_slowest_of_twenty():
    wakes = [Wake(0.0, 0.1 + number / 100, 0.2 + number / 100, 1.2) for number in range(20)]

    decision, noticed, *_ = wake.figures(wakes, wakes)

    assert (decision.value, decision.met) == (pytest.approx(0.28), True)
    assert (noticed.value, noticed.met) == (pytest.approx(0.38), False)


def test_a_burst_is_judged_against_the_plain_deployment_of_the_same_minute():
    known = [Burst(0.2, seconds) for seconds in (8.0, 9.0, 12.0)]
    unknown = [Burst(2.0, seconds) for seconds in (9.5, 9.75, 12.0)]
    plain = [Burst(0.0, seconds) for seconds in (7.5, 8.5, 10.0)]

    over, unseen, _ = burst.figures(known, unknown, plain)

    assert (over.value, over.spread, over.met) == (0.5, "0.5 to 2", True)
    assert (unseen.value, unseen.spread, unseen.met) == (2.0, "1.25 to 2", False)


def test_one_worker_stopped_in_mid_job_in_one_run_misses_the_goal():
    good = Drain(workers=10, stopped=10, stopped_in_mid_job=0, processing=0, replicas=0)
    bad = Drain(workers=10, stopped=10, stopped_in_mid_job=1, processing=0, replicas=2)

    figures = drain.figures([good, bad, good], [30.0, 90.0])

    assert [(figure.value, figure.met) for figure in figures] == [(1, False), (0, True), (2, False)]


def test_the_plain_deployment_has_the_pods_of_the_pool_and_no_label_of_jobtide():
    pool = manifests.pool("bench", "twin", "worker:1", "bench.00", maxReplicas=20)
    plain = manifests.plain_deployment(pool)

    template = plain["spec"]["template"]
    theirs = deployment_template_apply(manifests.JobWorkerPool.model_validate(pool))["spec"]["template"]
    assert template["spec"] == theirs["spec"]
    assert plain["spec"]["replicas"] == 0
    assert template["metadata"]["labels"] == plain["spec"]["selector"]["matchLabels"]
    marks = {POOL_LABEL, WORKER_NAME, *MANAGED_BY}
    assert not any(mark in json.dumps([plain["metadata"], template["metadata"]]) for mark in marks)
