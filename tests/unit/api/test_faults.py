"""What a pool may not hold although the CRD's schema lets it in: field, value, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobtide_controller.api.faults import CUT, TEMPLATE_BYTES, TEMPLATE_DEPTH, faults, levels_of, misfits
from jobtide_controller.api.v1alpha1 import JobWorkerPool, JobWorkerPoolSpec
from jobtide_controller.decide.schedules import in_force


def nested(levels: int) -> Any:
    """Objects within objects, and so many levels of them."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def template(*, metadata: Any = None, pod: dict[str, Any] | None = None, **worker: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "worker", "image": "acme/jobs:1", **worker}], **(pod or {})}
    return {"spec": spec} if metadata is None else {"metadata": metadata, "spec": spec}


def spec(made: Any, **more: Any) -> dict[str, Any]:
    return {"types": ["thumbs"], "template": made, **more}


WORKER = "template.spec.containers[0]"

FAULTY = [
    pytest.param(spec(template(), types=["a\0b"]), 'types ("a\\u0000b") has the character U+0000', id="type NUL"),
    pytest.param(spec(template(metadata={"x": nested(255)})), "more than 128 levels deep; at most 64", id="depth 255"),
    pytest.param(spec(template(metadata={"x": nested(63)})), "nested 65 levels deep; at most 64", id="depth 65"),
    pytest.param(spec(template(metadata={"x": "x" * TEMPLATE_BYTES})), "bytes of JSON; at most 131,072", id="text"),
    pytest.param(spec(template(metadata={"x": [{}] * 50_000})), "bytes of JSON; at most 131,072", id="objects"),
    pytest.param(
        spec({**template(metadata={"x": nested(255)}), CUT: [1, 1]}),
        "more than 128 levels deep",
        id="depth and own cut",
    ),
    pytest.param(
        spec({**template(metadata={"x": "x" * TEMPLATE_BYTES}), CUT: [1, 1]}), "at most 131,072", id="text and own cut"
    ),
    pytest.param(spec({CUT: [1, 1]}), "template.spec.containers is null: write a list", id="only an own cut"),
    pytest.param(spec({CUT: "x"}), "template.spec.containers is null: write a list", id="only an own cut of text"),
    pytest.param(spec(template(env="x")), f'{WORKER}.env is "x": write a list', id="env text"),
    pytest.param(spec(template(env={})), f"{WORKER}.env is {{}}: write a list", id="env object"),
    pytest.param(spec(template(env=[None])), f"{WORKER}.env[0] is null: write an object", id="env of null"),
    pytest.param(spec(template(env=[{"value": "1"}])), f"{WORKER}.env[0].name is null: write a name", id="env no name"),
    pytest.param(spec(template(env=[{"name": 1}])), f"{WORKER}.env[0].name is 1: write a name", id="env name"),
    pytest.param(
        spec(template(env=[{"name": "A", "value": 8080}])), f"{WORKER}.env[0].value is 8080: write text", id="env value"
    ),
    pytest.param(spec(template(ports=3)), f"{WORKER}.ports is 3: write a list", id="ports"),
    pytest.param(spec(template(ports=[80])), f"{WORKER}.ports[0] is 80: write an object", id="port number"),
    pytest.param(
        spec(template(volumeMounts=[{"name": "a"}])), f"{WORKER}.volumeMounts[0].mountPath is null", id="mount no path"
    ),
    pytest.param(spec(template(securityContext=[])), f"{WORKER}.securityContext is []", id="security"),
    pytest.param(spec(template(pod={"securityContext": "x"})), "template.spec.securityContext", id="pod security"),
    pytest.param(spec(template(pod={"volumes": [1]})), "template.spec.volumes[0] is 1: write an object", id="volume"),
    pytest.param(
        spec(template(pod={"terminationGracePeriodSeconds": "1m"})), "write a whole number of seconds", id="grace"
    ),
    pytest.param(spec(template(metadata=[])), "template.metadata is []: write an object", id="metadata"),
    pytest.param(spec(template(metadata={"labels": "x"})), 'template.metadata.labels is "x"', id="labels"),
    pytest.param(
        spec(template(pod={"containers": [{"name": "worker"}, {"name": "b", "volumeMounts": [None]}]})),
        "template.spec.containers[1].volumeMounts[0] is null: write an object",
        id="mount of a sidecar",
    ),
]


@pytest.mark.parametrize(("made", "words"), FAULTY)
def test_a_value_that_can_not_be_used_is_named_with_its_field_and_what_to_write(made, words):
    (found,) = faults(made)
    assert words in found
    assert len(found) < 300


NULL_FIELDS = ("env", "ports", "volumeMounts", "securityContext", "command", "livenessProbe", "resources")


@pytest.mark.parametrize("field", NULL_FIELDS)
def test_null_is_an_unset_field_as_in_any_deployment(field):
    assert faults(spec(template(**{field: None}))) == []


def test_what_every_template_may_have_is_no_fault():
    made = template(
        metadata={"labels": {"a": "b"}, "x": nested(TEMPLATE_DEPTH - 2)},
        pod={"volumes": [{"name": "v", "emptyDir": {}}], "terminationGracePeriodSeconds": 900},
        env=[{"name": "A", "value": "$(B) \U0001f600"}, {"name": "B", "valueFrom": {}}],
        ports=[{"containerPort": 80}],
        volumeMounts=[{"name": "v", "mountPath": "/v"}],
    )
    assert levels_of(made) == TEMPLATE_DEPTH
    assert faults(spec(made)) == []


def test_levels_are_counted_without_recursion():
    assert levels_of([[[1]], 2]) == 3
    assert levels_of(nested(100_000)) > TEMPLATE_DEPTH


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("pausedUntil", "0000-01-01T00:00:00Z", "pausedUntil must be a time from the year 2000 to 8999, for example "),
        ("pausedUntil", "2026-01-01T00:00:00+99:99", 'it is "2026-01-01T00:00:00+99:99"'),
        ("concurrency", "four", 'spec.concurrency ("four"): Input should be a valid integer'),
    ],
)
def test_a_value_that_is_not_of_its_kind_is_shown(field, value, words):
    document = {"metadata": {"name": "a", "namespace": "b"}, "spec": spec(template(), paused=True, **{field: value})}
    with pytest.raises(ValidationError) as error:
        JobWorkerPool.model_validate(document)
    (found,) = misfits(error.value)
    assert words in found


def _schedule(**fields):
    return {"name": "day", "cron": "0 9 * * *", "durationSeconds": 3_600, "minReplicas": 1, **fields}


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        pytest.param(
            _schedule(cron="0 25 * * *"), "schedules[0].cron '0 25 * * *': hour '25': expected *, 0 to 23", id="hour"
        ),
        pytest.param(_schedule(cron="0 9 * * fri-mon"), "day of week 'fri-mon': expected", id="range-backwards"),
        pytest.param(_schedule(cron="0 0 30 2 *"), "never falls due in the next eight years", id="no-such-day"),
        pytest.param(_schedule(cron="* * * * *"), "begins 1,440 windows a day; write one", id="each-minute"),
        pytest.param(
            _schedule(timezone="Mars/Olympus"),
            'schedules[0].timezone ("Mars/Olympus") is not in the controller\'s time zone database: write a name',
            id="unknown-zone",
        ),
        pytest.param(_schedule(timezone="../etc/passwd"), "timezone", id="zone-as-path"),
        pytest.param(
            _schedule(durationSeconds=86_401),
            "schedules[0].durationSeconds (86401) is longer than the shortest time between two times of cron "
            '("0 9 * * *"): write at most 86400',
            id="longer-than-a-day",
        ),
        pytest.param(
            _schedule(cron="0,40 9 * * *", durationSeconds=2_401), "write at most 2400", id="longer-within-a-day"
        ),
        pytest.param(
            _schedule(cron="0 23,1 * * *", durationSeconds=7_201), "write at most 7200", id="longer-over-midnight"
        ),
        pytest.param(
            _schedule(cron="0 9 * * mon,thu", durationSeconds=3 * 86_400 + 1), "write at most 259200", id="two-a-week"
        ),
    ],
)
def test_a_window_that_makes_no_sense_is_named_with_value_and_fix(schedule, words):
    (found,) = faults(spec(template(), schedules=[schedule]))
    assert words in found


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param(_schedule(cron="0 0 * * sat,sun", durationSeconds=86_400), id="two-whole-days"),
        pytest.param(_schedule(cron="0 9 * * mon", durationSeconds=4 * 86_400), id="days-once-a-week"),
        pytest.param(_schedule(cron="*/15 * * * *", durationSeconds=300), id="each-quarter"),
        pytest.param(_schedule(cron="0 0 29 2 *", durationSeconds=31 * 86_400), id="once-in-four-years"),
        pytest.param(_schedule(cron="@daily", timezone="Australia/Lord_Howe"), id="macro"),
    ],
)
def test_windows_that_make_sense_have_no_fault(schedule):
    assert faults(spec(template(), schedules=[schedule])) == []


@given(
    st.text("0123456789*/,- monfrisuja@dly\0ü", max_size=30) | st.text(max_size=100),
    st.sampled_from(["UTC", "Europe", "leapseconds", "..", "", "a\0b", "Asia/Kolkata"]) | st.text(max_size=64),
    st.integers(60, 31 * 86_400),
)
def test_a_window_of_any_text_is_a_fault_or_can_be_used(cron, timezone, seconds):
    given_spec = spec(template(), schedules=[_schedule(cron=cron, timezone=timezone, durationSeconds=seconds)])
    if not faults(given_spec):
        assert in_force(JobWorkerPoolSpec.model_validate(given_spec), 1_800_000_000.0, 10.0) is not None
