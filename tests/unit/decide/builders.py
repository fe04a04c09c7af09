"""Builds pools, readings and fleets for tests: common cases by functions, all others by hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hypothesis import strategies as st

from jobtide_controller.api.v1alpha1 import JobWorkerPool, JobWorkerPoolSpec
from jobtide_controller.decide.fleet import Fleet, Pod, Share
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import Depth, Key, Reading
from jobtide_controller.decide.scaling import Decision, decide

NOW = 1_800_000_000.0
TEMPLATE = {"spec": {"containers": [{"name": "worker", "image": "acme/jobs:1"}]}}
A, B = Key("a", "t1"), Key("b", "t2")


def spec(**fields: Any) -> JobWorkerPoolSpec:
    return JobWorkerPoolSpec.model_validate({"types": ["a", "b"], "template": TEMPLATE, **fields})


def pool(name: str = "thumbs", *, generation: int = 3, **fields: Any) -> JobWorkerPool:
    return JobWorkerPool.model_validate(
        {
            "apiVersion": "jobtide.dev/v1alpha1",
            "kind": "JobWorkerPool",
            "metadata": {"name": name, "namespace": "media", "uid": "uid-of-pool", "generation": generation},
            "spec": {"types": ["a", "b"], "template": TEMPLATE, **fields},
        }
    )


def fleet(ready: int = 0, *, busy: int = 0, starting: int = 0, current: int | None = -1, **other: Any) -> Fleet:
    """`current` replicas: -1 means as many as there are pods, None that there is no Deployment."""
    pods = [
        Pod(f"uid-{number}", f"pod-{number}", NOW - 600 + number, ready=True, ready_at=NOW - 590)
        for number in range(ready)
    ]
    pods += [Pod(f"new-{number}", f"new-{number}", NOW - 1) for number in range(starting)]
    return Fleet(
        current_replicas=ready + starting if current == -1 else current,
        pods=tuple(pods),
        busy_uids=frozenset(f"uid-{number}" for number in range(busy)),
        **other,
    )


def share(workers: int) -> Share:
    return Share(workers, connections=2, budget=200)


def replay(
    policy: JobWorkerPoolSpec, readings: list[Reading], workers: Fleet, history: History, share: Share | None = None
) -> Decision:
    """The last of the decisions for `readings`, each applied at once."""
    decision = None
    for reading in readings:
        decision = decide(policy, reading, workers, history, reading.taken_at, share)
        history, workers = decision.history, replace(workers, current_replicas=decision.replicas)
    assert decision is not None
    return decision


@dataclass(frozen=True)
class World:
    """The arguments of one decision."""

    policy: JobWorkerPoolSpec
    reading: Reading
    fleet: Fleet
    history: History
    now: float
    share: Share | None = None

    def decide(self) -> Decision:
        return decide(self.policy, self.reading, self.fleet, self.history, self.now, self.share)


@st.composite
def depths(draw: st.DrawFn, taken_at: float = NOW) -> Depth:
    oldest = draw(st.integers(0, 2_000)) / 2
    later = draw(st.integers(0, 500))
    followed = draw(st.integers(0, 64))
    return Depth(
        due=draw(st.integers(0, 20_000)),
        later=later,
        running=draw(st.integers(0, 200)),
        oldest_age_seconds=oldest,
        mean_age_seconds=oldest * draw(st.integers(0, 4)) / 4,
        capped=draw(st.booleans()),
        next_due_at=taken_at + draw(st.integers(1, 5_000)) / 4 if later else None,
        arrivals=draw(st.integers(0, 5_000)),
        succeeded=draw(st.integers(0, 3)),
        failed=draw(st.integers(0, 3)),
        followed=followed,
        followed_ended=draw(st.integers(0, followed)),
        followed_seconds=draw(st.integers(0, 4)) * followed / 4,
        about=draw(st.sampled_from([0, 1, 10**6])),
    )


@st.composite
def readings(draw: st.DrawFn, taken_at: float = NOW) -> Reading:
    keys = st.builds(Key, st.sampled_from(["a", "b"]), st.sampled_from(["t1", "t2", "t3"]))
    return Reading(taken_at, draw(st.dictionaries(keys, depths(taken_at), max_size=3)))


def _any_reading(rng: Random, taken_at: float) -> Reading:
    keys = [Key(type_, tenant) for type_ in ("a", "b") for tenant in ("t1", "t2", "t3")]
    return Reading(taken_at, {key: _any_depth(rng, taken_at) for key in rng.sample(keys, rng.randint(0, 4))})


def _any_depth(rng: Random, taken_at: float) -> Depth:
    oldest, later = rng.choice([0.0, rng.uniform(0, 1_000)]), rng.choice([0, rng.randint(1, 500)])
    return Depth(
        due=rng.choice([0, rng.randint(1, 20_000)]),
        later=later,
        running=rng.choice([0, rng.randint(1, 200)]),
        oldest_age_seconds=oldest,
        mean_age_seconds=oldest * rng.random(),
        capped=rng.random() < 0.2,
        next_due_at=taken_at + rng.uniform(0, 1_000) if later else None,
        arrivals=rng.choice([0, rng.randint(1, 5_000)]),
        succeeded=rng.randint(0, 1),
        failed=rng.randint(0, 1),
        followed=(followed := rng.choice([0, 64])),
        followed_ended=rng.randint(0, followed),
        followed_seconds=followed * rng.random(),
        about=rng.choice([0, 10**6]),
    )


@st.composite
def policies(draw: st.DrawFn) -> JobWorkerPoolSpec:
    minimum = draw(st.integers(0, 5))
    optional: dict[str, Any] = {}
    if draw(st.booleans()):
        optional["tenants"] = {"maxConcurrent": draw(st.none() | st.integers(1, 50)), "overrides": {"t1": 7}}
    if draw(st.booleans()):
        optional["scaleDown"] = {"stabilizationSeconds": draw(st.integers(0, 120))}
    if draw(st.integers(0, 4)) == 0:
        optional["jobsPerWorker"] = draw(st.integers(1, 500))
    else:
        optional["maxWaitSeconds"] = draw(st.integers(1, 3_600))
    return spec(
        minReplicas=minimum,
        maxReplicas=draw(st.integers(max(1, minimum), 60)),
        concurrency=draw(st.integers(1, 32)),
        onAllFailing=draw(st.sampled_from(["Scale", "Hold"])),
        **optional,
    )


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    ready = draw(st.integers(0, 30))
    return replace(
        fleet(ready, busy=draw(st.integers(0, ready)), starting=draw(st.integers(0, 5))),
        current_replicas=draw(st.none() | st.integers(0, 70)),
        start_seconds=draw(st.sampled_from([0.5, 2.0, 5.7, 10.0, 60.0])),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A pool whose history comes from up to two earlier readings."""
    policy, workers = draw(policies()), draw(fleets())
    gaps = draw(st.lists(st.sampled_from([0.2, 1.0, 5.0, 19.0, 60.0, 700.0, 0.0, -3.0, -90.0]), max_size=2))
    # The past is random and the present drawn by hypothesis, which reduces a failure to a small present.
    rng = Random(draw(st.integers(0, 2**32)))
    history, now = History(), NOW
    for gap in gaps:
        history = decide(policy, _any_reading(rng, now), workers, history, now).history
        now += gap
    given_share = draw(st.none() | st.builds(share, st.integers(1, 80)))
    return World(policy, draw(readings(now)), workers, history, now, given_share)
