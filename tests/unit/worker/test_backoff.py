from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide.backoff import backoff_seconds, full_backoff_seconds


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        pytest.param(0, 0.2, id="no failure yet: as after the first"),
        pytest.param(1, 0.2, id="the first: the base"),
        pytest.param(3, 0.8, id="doubled with each failure"),
        pytest.param(7, 10.0, id="at most the cap"),
        pytest.param(10**9, 10.0, id="a huge count does not overflow"),
    ],
)
def test_the_wait_doubles_up_to_its_cap(failures, seconds):
    assert full_backoff_seconds(failures, base_seconds=0.2, max_seconds=10.0) == pytest.approx(seconds)


@given(st.integers(0, 100))
def test_the_jitter_takes_at_most_half(failures):
    full = full_backoff_seconds(failures, base_seconds=0.2, max_seconds=10.0)
    assert full / 2 <= backoff_seconds(failures, base_seconds=0.2, max_seconds=10.0) <= full
