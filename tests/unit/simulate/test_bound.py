"""The lower bound: as worked out by hand for simple traces, and never above the cost of a scaler in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.simulate.bound import least_worker_seconds
from jobtide_controller.simulate.keda import Keda, KedaSettings
from jobtide_controller.simulate.run import run
from jobtide_controller.simulate.scalers import Jobtide
from jobtide_controller.simulate.trace import Job
from tests.unit.simulate.worlds import OPTIONS, few, spec, trace


@pytest.mark.parametrize(
    ("jobs", "seconds"),
    [
        pytest.param([], 0.0, id="no-jobs"),
        pytest.param([Job(0.0, 5.0)], 6.0 + 5.0, id="one-job-a-start-and-itself"),
        pytest.param([Job(0.0, 5.0), Job(60.0, 5.0)], 2 * (6.0 + 5.0), id="far-apart-two-starts"),
        pytest.param([Job(0.0, 5.0), Job(38.0, 5.0)], 6.0 + 5.0 + 3.0 + 5.0, id="near-one-start-and-the-gap"),
        pytest.param([Job(0.0, 1.0)] * 3_000, 750.0 + 25 * 6.0, id="burst-25-workers-in-31-s"),
        pytest.param([Job(0.0, 60.0)] * 100, 1_500.0 + 25 * 6.0, id="long-jobs-must-overlap"),
        pytest.param([Job(0.0, 60.0)] * 5, 75.0 + 2 * 6.0, id="five-long-jobs-need-two-workers"),
        pytest.param([Job(0.0, 1.0, due_at=600.0)], 6.0 + 1.0, id="scheduled-jobs-cost-when-they-are-due"),
    ],
)
def test_simple_traces_have_the_bound_worked_out_by_hand(jobs, seconds):
    found = least_worker_seconds(jobs, promise_of=lambda _: 30.0, concurrency=4, start_seconds=6.0)
    assert found == pytest.approx(seconds)


@st.composite
def traces(draw):
    count = draw(st.integers(1, 60))
    moments = st.integers(0, draw(st.sampled_from([5, 60, 200])))
    lengths = st.sampled_from([0.01, 1.0, 7.0, 60.0])
    return trace(
        [Job(float(draw(moments)), draw(lengths), tenant_id=f"t{draw(st.integers(1, 3))}") for _ in range(count)]
    )


@few
@given(traces(), st.sampled_from([1, 4]), st.sampled_from(["jobtide", "shorter promise", "keda"]))
def test_no_scaler_that_keeps_the_promise_costs_less_than_the_bound(jobs, concurrency, name):
    policy = spec(concurrency=concurrency)
    scaler = {
        "jobtide": Jobtide(policy),
        "shorter promise": Jobtide(spec(concurrency=concurrency, maxWaitSeconds=5)),
        "keda": Keda(KedaSettings(2, polling_seconds=5, cooldown_seconds=5, stabilization_seconds=0), policy),
    }[name]
    outcome = run(jobs, policy, scaler, OPTIONS)
    assert outcome.late_share > 0 or outcome.worker_seconds >= outcome.bound_seconds - 1e-6
