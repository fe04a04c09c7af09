"""The judge of scale-downs itself: what it must find, and what it must let pass."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.e2e.pod_life import Job, PodLife, wrongly_told

TOLD_AT = 100.0


def pod(*jobs: tuple[float, float], ready_at: float | None = 50.0, **moments: float) -> PodLife:
    return PodLife("pod", "pool", ready_at, jobs=[Job(uuid4(), *job) for job in jobs], **moments)


@pytest.mark.parametrize(
    ("told", "other", "wrong"),
    [
        pytest.param(pod((90, 110), told_at=TOLD_AT), pod(), True, id="busy beside one that never worked"),
        pytest.param(pod((90, 110), told_at=TOLD_AT), pod((60, 93)), True, id="busy beside one that had ended"),
        pytest.param(pod((90, 110), told_at=TOLD_AT), pod((60, 99)), False, id="the other ended while it was chosen"),
        pytest.param(pod((90, 110), told_at=TOLD_AT), pod((99, 120)), False, id="the other began while it was chosen"),
        pytest.param(pod((90, 110), told_at=TOLD_AT), pod((80, 120)), False, id="both busy"),
        pytest.param(pod((90, 110), told_at=TOLD_AT), pod(told_at=101.0), False, id="the idle one went too"),
        pytest.param(pod((90, 110), told_at=TOLD_AT), pod(told_at=107.0), True, id="the idle one went later"),
        pytest.param(pod((90, 110), told_at=TOLD_AT), pod(ready_at=99.0), False, id="the other was just up"),
        pytest.param(pod((90, 110), told_at=TOLD_AT), pod(ready_at=None), False, id="the other was not up"),
        pytest.param(pod((99, 110), told_at=TOLD_AT), pod(), False, id="it took its job while it was chosen"),
        pytest.param(
            pod((95, 110), marked_at=94.0, told_at=TOLD_AT), pod(), False, id="it was idle when it was marked"
        ),
        pytest.param(pod((85, 110), marked_at=94.0, told_at=TOLD_AT), pod(), True, id="it was busy when it was marked"),
        pytest.param(pod((90, 110), ready_at=None, told_at=TOLD_AT), pod(), False, id="it was not ready"),
        pytest.param(pod((60, 90), told_at=TOLD_AT), pod(), False, id="it was idle itself"),
        pytest.param(pod((90, 110)), pod(), False, id="nobody was told"),
    ],
)
def test_only_a_busy_pod_told_to_stop_while_an_idle_one_stayed_is_wrong(
    told: PodLife, other: PodLife, wrong: bool
) -> None:
    assert bool(wrongly_told([told, other])) == wrong
