"""KEDA's algorithm, as measured with KEDA 2.20 on Kubernetes 1.37."""

from __future__ import annotations

import pytest

from jobtide_controller.simulate.keda import Keda, KedaSettings
from jobtide_controller.simulate.run import run
from jobtide_controller.simulate.trace import Job, Span
from tests.unit.simulate.worlds import OPTIONS, spec, trace


def _steps(settings: KedaSettings, jobs, **fields) -> list[int]:
    """Every number of workers in order, without repetition."""
    policy = spec(**{"maxReplicas": 20, **fields})
    samples = run(trace(jobs), policy, Keda(settings, policy), OPTIONS).samples
    workers = [sample.workers for sample in samples]
    return [now for number, now in enumerate(workers) if number == 0 or now != workers[number - 1]]


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        pytest.param(KedaSettings(100), [0, 1, 4, 8, 16, 20], id="no-behavior"),
        pytest.param(KedaSettings(100, stabilization_seconds=60), [0, 1, 5, 10, 20], id="any-behavior"),
    ],
)
def test_steps_up_are_the_measured_ones(settings, first):
    jobs = [Job(1.0, 5.0)] * 4_000
    assert _steps(settings, jobs, concurrency=1)[: len(first)] == first


def test_a_job_at_zero_workers_waits_for_the_next_poll():
    policy = spec()
    outcome = run(trace([Job(1.0, 1.0)]), policy, Keda(KedaSettings(4), policy), OPTIONS)
    assert outcome.waits == (29.0 + 5.0,)


def test_the_last_worker_stays_for_the_cooldown():
    policy = spec()
    outcome = run(trace([Job(1.0, 1.0)]), policy, Keda(KedaSettings(4), policy), OPTIONS)
    assert outcome.worker_seconds == pytest.approx(300, abs=31)


def test_scaling_down_stops_busy_workers():
    jobs = [Job(0.0, 30.0 + 60.0 * (number % 7) / 6) for number in range(40)]
    policy = spec(concurrency=1, maxReplicas=10)
    keda = Keda(KedaSettings(1, polling_seconds=5, cooldown_seconds=10, stabilization_seconds=0), policy)
    assert run(trace(jobs), policy, keda, OPTIONS).busy_stopped > 0


def test_an_unreadable_table_holds_the_replicas():
    policy = spec()
    jobs = trace([Job(0.0, 1.0)] * 200, unreadable=(Span(20.0, 400.0),))
    samples = run(jobs, policy, Keda(KedaSettings(4, polling_seconds=5), policy), OPTIONS).samples
    assert len({sample.workers for sample in samples if 20 <= sample.at < 400}) == 1


def test_within_the_tolerance_nothing_changes():
    """43 rows at a target of 4 need 11 workers, but are within 10 % of the 40 rows for 10 workers."""
    jobs = [Job(0.0, 600.0)] * 40 + [Job(100.0, 600.0)] * 3
    assert max(_steps(KedaSettings(4, polling_seconds=5), jobs)) == 10


def test_names_contain_the_settings():
    assert [KedaSettings(4).name, KedaSettings(4, 5, 300, 60).name] == [
        "KEDA, target 4, defaults",
        "KEDA, target 4, poll 5, stab 60",
    ]
