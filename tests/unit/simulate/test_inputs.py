"""Traces and pools from users' input: CSV files, their own table, YAML and flags."""

from __future__ import annotations

import csv
import re
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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


HEAD = "arrived_at,service_seconds"
DATE = "2026-11-24T10:00:00Z"


def _read(tmp_path, text):
    path = tmp_path / "jobs.csv"
    path.write_text(text, encoding="utf-8")
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
        pytest.param("", "line 1: the columns are missing: write arrived_at,service_seconds", id="empty"),
        pytest.param("arrived_at,seconds\n1,1\n", 'are "arrived_at", "seconds": write', id="column-missing"),
        pytest.param(f"{HEAD},tenant_id\n1,1,a\n", '"tenant_id": write .*type,tenant,due_at', id="tables-own-name"),
        pytest.param(f"{HEAD},arrived_at\n1,1,2\n", 'line 1: the columns are "arrived_at"', id="column-twice"),
        pytest.param("arrived_at;service_seconds\n1;1\n", 'are "arrived_at;service_seconds"', id="semicolons"),
        pytest.param(f"{HEAD}\n", "has no jobs", id="no-jobs"),
        pytest.param(f"{HEAD}\n1,1\n2,-1\n", 'line 3, column service_seconds: "-1": write', id="negative"),
        pytest.param(f"{HEAD}\n1,nan\n", 'line 2, column service_seconds: "nan"', id="nan"),
        pytest.param(f"{HEAD}\n1,1e308\n", "from 0 to 2,678,400", id="huge"),
        pytest.param(f"{HEAD}\n1,\n", 'line 2, column service_seconds: "": write', id="empty-cell"),
        pytest.param(f"{HEAD}\nsoon,1\n", 'line 2, column arrived_at: "soon": write', id="no-time"),
        pytest.param(f"{HEAD}\n0,1\ninf,1\n", 'line 3, column arrived_at: "inf"', id="never-arrives"),
        pytest.param(f"{HEAD}\n0,1\n-inf,1\n", 'line 3, column arrived_at: "-inf"', id="always-there"),
        pytest.param(f"{HEAD},due_at\n0,1,inf\n", 'line 2, column due_at: "inf"', id="never-due"),
        pytest.param(f"{HEAD},due_at\n0,1,nan\n", 'line 2, column due_at: "nan"', id="due-at-no-time"),
        pytest.param(f"{HEAD},due_at\n0,1,1e10\n", "within 31 days of arrived_at", id="due-too-far"),
        pytest.param(f"{HEAD},due_at\n1764000000,1,60\n", "on the same clock", id="due-on-another-clock"),
        pytest.param(f"{HEAD}\n0,1\n{DATE},1\n", "line 3, .*is a date, .*numbers", id="number-then-date"),
        pytest.param(f"{HEAD}\n{DATE},1\n5,1\n", "line 3, .*is a number, .*dates", id="date-then-number"),
        pytest.param(f"{HEAD},due_at\n0,1,{DATE}\n", "column due_at: .*is a date", id="due-date-of-a-number"),
        pytest.param(f"{HEAD}\n1764000000000,1\n", "milliseconds, divide them by 1,000", id="milliseconds"),
        pytest.param(f"{HEAD}\n0,1\n9e9,1\n", "line 3, .*within 366 days", id="years-apart"),
        pytest.param(f"{HEAD}\n1\n", "line 2, column service_seconds: the line ends before it", id="short-line"),
        pytest.param(f"{HEAD}\n1,2,5\n", 'line 2, column "5" has no name', id="decimal-commas"),
        pytest.param(f"{HEAD},type\n0,1,{'x' * 201}\n", "column type: .*at most 200 chars", id="long-type"),
        pytest.param(f"{HEAD},type\n0,1,a \n", "column type: .*must not begin or end with a space", id="space"),
        pytest.param(f"{HEAD},type\n0,1,a\0b\n", "column type: .*U.0000", id="nul"),
    ],
)
def test_an_error_in_a_csv_file_names_line_column_value_and_what_to_write(tmp_path, text, error):
    with pytest.raises(TraceError, match=error):
        _read(tmp_path, text)


HOSTILE = st.one_of(
    st.sampled_from(
        ["", "0", "1", "60.5", "-1", "1e3", "nan", "inf", "-inf", "1e308", "1e-320", "9" * 400, "1764000000", DATE,
         "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59", "2026-11-24", "٣", "a\0", "\u202e", "=1+1", "'"]
    ),
    st.floats().map(str),
    st.integers().map(str),
    st.text(st.characters(codec="utf-8"), max_size=20),
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(rows=st.lists(st.lists(HOSTILE, min_size=1, max_size=6), min_size=1, max_size=4))
@example(rows=[["0", "1", "a", "t", "5"], ["2", "0", "", "", ""]])
def test_whatever_the_cells_are_there_is_a_finite_trace_or_one_error_with_its_line(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("hostile") / "jobs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["arrived_at", "service_seconds", "type", "tenant", "due_at"], *rows])
    try:
        made = csvfile.read(path)
    except TraceError as error:
        assert re.search(r", line \d+, column |has no jobs", str(error))  # noqa: PT017 - both are correct
        return
    assert 0 <= made.seconds <= (csvfile.TRACE_DAYS_MAX + csvfile.JOB_DAYS_MAX) * csvfile.DAY_SECONDS
    assert all(0 <= job.service_seconds <= csvfile.JOB_DAYS_MAX * csvfile.DAY_SECONDS for job in made.jobs)


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
        pytest.param([], "[" * 5_000, "can't read the pool .*nested too deeply", id="deep"),
        pytest.param([], "kind: JobWorkerPool\nspec: [1]", "the spec of a JobWorkerPool must be an object", id="list"),
        pytest.param([], "kind: JobWorkerPool\nmetadata: null\nspec: {typos: [a]}", 'field "spec.typos"', id="typo"),
        pytest.param(
            ["--tenant-max-concurrent", "3"],
            "kind: JobWorkerPool\nspec: {types: 5, tenants: [1]}",
            "spec.types in body must be of type array.*spec.tenants in body must be of type object",
            id="ill-shaped",
        ),
        pytest.param(
            ["--pool-name", "video", "--jobs-per-worker", "3", "--max-wait-seconds", "5"],
            POOLS,
            r"maxWaitSeconds \(5\) and jobsPerWorker \(3\): set one of them",
            id="two-laws",
        ),
        pytest.param(
            ["--pool-name", "thumbs", "--min-replicas", "11"], POOLS, r"maxReplicas \(10\) must be >= min", id="min-max"
        ),
        pytest.param(
            ["--pool-name", "thumbs", "--max-replicas", "20000"],
            POOLS,
            "maxReplicas in body should be less",
            id="invalid",
        ),
    ],
)
def test_a_pool_that_cannot_be_simulated_says_why(tmp_path, arguments, text, error):
    with pytest.raises(PolicyError, match=error):
        _pool(tmp_path, *arguments, text=text)


def test_a_compared_promise_is_checked_like_the_pools_own(tmp_path):
    made = _pool(tmp_path, "--pool-name", "video")
    assert (policy.promising(made, 9).max_wait_seconds, policy.promising(made, 9).jobs_per_worker) == (9, None)
    with pytest.raises(PolicyError, match="maxWaitSeconds in body should be less than or equal to 86400"):
        policy.promising(made, 86_401)


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
