"""Traces and pools from users' input: CSV files, their own table, YAML and flags."""

from __future__ import annotations

from random import Random

import pytest

from jobtide_controller.simulate import csvfile, policy
from jobtide_controller.simulate.arguments import parser
from jobtide_controller.simulate.csvfile import TraceError
from jobtide_controller.simulate.policy import PolicyError
from jobtide_controller.simulate.service import PastJob, service_seconds
from jobtide_controller.simulate.trace import Job

POOLS = """
kind: ConfigMap
metadata: {name: other}
---
kind: JobWorkerPool
metadata: {name: thumbs}
spec: {types: [thumbs], maxWaitSeconds: 5, template: {spec: {containers: [{name: worker, image: a}]}}}
---
kind: JobWorkerPool
metadata: {name: video}
spec: {types: [video], jobsPerWorker: 7, template: {spec: {containers: [{name: worker, image: a}]}}}
"""


def _read(tmp_path, text):
    path = tmp_path / "jobs.csv"
    path.write_text(text)
    return csvfile.read(path)


def test_a_csv_file_becomes_a_trace_from_its_first_job_on(tmp_path):
    text = (
        "type,arrived_at,service_seconds,tenant,due_at\n"
        "b,2026-11-24T10:00:10Z,2.5,acme,2026-11-24T10:10:00Z\na,2026-11-24T10:00:00,1,,\n"
    )
    assert _read(tmp_path, text).jobs == (Job(0.0, 1.0, "a", "t1"), Job(10.0, 2.5, "b", "acme", due_at=600.0))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("", "no column arrived_at and no column service_seconds", id="empty"),
        pytest.param("arrived_at,seconds\n1,1\n", "no column service_seconds", id="column-missing"),
        pytest.param("arrived_at,service_seconds\n", "has no jobs", id="no-jobs"),
        pytest.param("arrived_at,service_seconds\n1,1\n2,-1\n", "line 3: service_seconds is -1", id="negative"),
        pytest.param("arrived_at,service_seconds\n1,nan\n", "line 2: service_seconds is nan", id="nan"),
        pytest.param("arrived_at,service_seconds\nsoon,1\n", "line 2: Invalid isoformat string: 'soon'", id="no-time"),
        pytest.param("arrived_at,service_seconds\n1\n", "line 2: could not convert", id="short-line"),
    ],
)
def test_an_error_in_a_csv_file_names_the_line(tmp_path, text, error):
    with pytest.raises(TraceError, match=error):
        _read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TraceError, match=r"can't read the trace .*absent.csv"):
        csvfile.read(tmp_path / "absent.csv")


def _pool(tmp_path, *arguments, text=POOLS):
    path = tmp_path / "pools.yaml"
    path.write_text(text)
    flags = parser().parse_args(["--trace", "steady", "--pool", str(path), *arguments])
    return policy.build(policy.of_file(flags.pool, flags.pool_name), ["x"], flags)


def test_flags_override_the_file(tmp_path):
    made = _pool(tmp_path, "--pool-name", "thumbs", "--max-wait-seconds", "9", "--stabilization-seconds", "3")
    assert (made.types, made.wait_seconds, made.scale_down.stabilization_seconds) == (("thumbs",), 9, 3)


def test_a_promise_replaces_jobs_per_worker_and_the_reverse(tmp_path):
    promise = _pool(tmp_path, "--pool-name", "video", "--max-wait-seconds", "9")
    assert (promise.max_wait_seconds, promise.jobs_per_worker) == (9, None)
    number = _pool(tmp_path, "--pool-name", "thumbs", "--jobs-per-worker", "9")
    assert (number.max_wait_seconds, number.jobs_per_worker) == (None, 9)


@pytest.mark.parametrize(
    ("arguments", "text", "error"),
    [
        pytest.param([], POOLS, r"has 2 pools \(thumbs, video\): choose one with --pool-name", id="which"),
        pytest.param(["--pool-name", "mail"], POOLS, 'none has the name "mail"', id="no-such"),
        pytest.param([], "kind: Pod", r"has 0 pools \(none\)", id="none"),
        pytest.param([], "a: [", "can't read the pool", id="not-yaml"),
        pytest.param(
            ["--pool-name", "thumbs", "--min-replicas", "11"], POOLS, r"maxReplicas \(10\) must be >= min", id="min-max"
        ),
        pytest.param(["--pool-name", "thumbs", "--max-replicas", "20000"], POOLS, "maxReplicas: Input", id="invalid"),
    ],
)
def test_a_pool_that_cannot_be_simulated_says_why(tmp_path, arguments, text, error):
    with pytest.raises(PolicyError, match=error):
        _pool(tmp_path, *arguments, text=text)


def _past(slots: int, length, count: int = 400) -> tuple[list[PastJob], list[float]]:
    """Rows as a pod with this many slots leaves them, and the real duration of each job."""
    chance, free = Random(1), [10.0] * slots
    jobs, real, created_at = [], [], 0.0
    for _ in range(count):
        created_at += chance.expovariate(0.9 * slots / 2.0)
        slot = min(range(slots), key=free.__getitem__)
        seconds = length(chance)
        free[slot] = max(created_at, free[slot]) + seconds
        jobs.append(PastJob("a", "t1", created_at, free[slot], pod="pod-1"))
        real.append(seconds)
    return jobs, real


@pytest.mark.parametrize(
    ("slots", "length", "off"),
    [
        pytest.param(1, lambda chance: chance.uniform(0.1, 3.9), 0.001, id="one-slot-is-exact"),
        pytest.param(4, lambda chance: 2.0, 0.001, id="equal-jobs-in-four-slots-are-exact"),
        pytest.param(4, lambda chance: chance.uniform(1.0, 3.0), 0.15, id="unequal-jobs-in-four-slots-are-close"),
    ],
)
def test_service_times_are_estimated_from_rows_without_start_times(slots, length, off):
    jobs, real = _past(slots, length)
    found = service_seconds(jobs, slots=slots, known={})
    assert sum(found[slots:]) == pytest.approx(sum(real[slots:]), rel=off)


@pytest.mark.parametrize(
    ("job", "seconds"),
    [
        pytest.param(PastJob("a", "t1", 0.0, None), 2.0, id="unfinished-is-typical"),
        pytest.param(PastJob("a", "t1", 0.0, 500.0, attempts=3), 2.0, id="retried-is-typical"),
        pytest.param(PastJob("a", "t1", 0.0, 30.0, pod="new"), 2.0, id="first-of-a-pod-may-have-waited-for-it"),
        pytest.param(PastJob("a", "t1", 0.0, 1.5, pod="new"), 1.5, id="unless-it-was-faster"),
        pytest.param(PastJob("b", "t1", 0.0, None), 1.0, id="nothing-is-known-of-the-type"),
        pytest.param(PastJob("c", "t1", 0.0, 9.0), 7.5, id="value-of-the-user"),
    ],
)
def test_a_job_with_an_unknown_start_gets_the_typical_duration(job, seconds):
    usual = [PastJob("a", "t1", 0.0, 10.0 + 2.0 * number, pod="pod-1") for number in range(20)]
    assert service_seconds([*usual, job], slots=1, known={"c": 7.5})[-1] == seconds
