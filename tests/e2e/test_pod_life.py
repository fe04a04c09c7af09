"""The check of scale-downs itself: what it must find, and what it must accept."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.e2e.pod_life import Job, PodLife, wrongly_stopped

STOPPED_AT = 100.0


def pod(*jobs: tuple[float, float], ready_at: float | None = 50.0, **moments: float) -> PodLife:
    return PodLife("pod", "pool", ready_at, jobs=[Job(uuid4(), *job) for job in jobs], **moments)


@pytest.mark.parametrize(
    ("stopped", "other", "wrong"),
    [
        pytest.param(pod((90, 110), stopped_at=STOPPED_AT), pod(), True, id="busy beside one that never worked"),
        pytest.param(pod((90, 110), stopped_at=STOPPED_AT), pod((60, 93)), True, id="busy beside one that had ended"),
        pytest.param(
            pod((90, 110), stopped_at=STOPPED_AT), pod((60, 99)), False, id="the other ended during the choice"
        ),
        pytest.param(
            pod((90, 110), stopped_at=STOPPED_AT), pod((99, 120)), False, id="the other began during the choice"
        ),
        pytest.param(pod((90, 110), stopped_at=STOPPED_AT), pod((80, 120)), False, id="both busy"),
        pytest.param(
            pod((90, 110), stopped_at=STOPPED_AT), pod(stopped_at=101.0), False, id="the idle one was stopped too"
        ),
        pytest.param(
            pod((90, 110), stopped_at=STOPPED_AT), pod(stopped_at=107.0), True, id="the idle one was stopped later"
        ),
        pytest.param(pod((90, 110), stopped_at=STOPPED_AT), pod(ready_at=99.0), False, id="the other was just ready"),
        pytest.param(pod((90, 110), stopped_at=STOPPED_AT), pod(ready_at=None), False, id="the other was not ready"),
        pytest.param(pod((99, 110), stopped_at=STOPPED_AT), pod(), False, id="it claimed its job during the choice"),
        pytest.param(
            pod((95, 110), marked_at=94.0, stopped_at=STOPPED_AT), pod(), False, id="it was idle when it was marked"
        ),
        pytest.param(
            pod((85, 110), marked_at=94.0, stopped_at=STOPPED_AT), pod(), True, id="it was busy when it was marked"
        ),
        pytest.param(pod((90, 110), ready_at=None, stopped_at=STOPPED_AT), pod(), False, id="it was not ready"),
        pytest.param(pod((60, 90), stopped_at=STOPPED_AT), pod(), False, id="it was idle itself"),
        pytest.param(pod((90, 110)), pod(), False, id="none was stopped"),
    ],
)
def test_only_a_busy_pod_that_is_stopped_while_an_idle_one_stays_is_wrong(
    stopped: PodLife, other: PodLife, wrong: bool
) -> None:
    assert bool(wrongly_stopped([stopped, other])) == wrong
