"""When an idle worker looks row by row before it walks from tenant to tenant."""

from __future__ import annotations

from jobtide.queue.idle_look import IdleLook


def after(*, walk: float, look: float | None = None, drained: bool = True) -> IdleLook:
    idle_look = IdleLook()
    idle_look.walked(walk, drained=drained)
    if look is not None:
        idle_look.looked(look, 100.0)
    return idle_look


def test_a_short_walk_needs_no_look():
    assert not after(walk=0.001).is_worth(0.0)


def test_the_first_look_after_a_long_walk_measures_it():
    assert after(walk=0.045).is_worth(0.0)


def test_a_look_comes_first_as_long_as_it_takes_less_than_half_the_walk():
    assert after(walk=0.045, look=0.001).is_worth(100.1)
    assert not after(walk=0.045, look=0.03).is_worth(100.1)


def test_a_slow_look_is_tried_again_after_a_minute():
    assert after(walk=0.045, look=0.5).is_worth(160.0)


def test_a_claim_that_left_jobs_behind_is_followed_by_a_claim():
    assert not after(walk=0.045, look=0.001, drained=False).is_worth(100.1)
