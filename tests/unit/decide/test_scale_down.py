"""Tests which pods a scale-down removes, and their deletion costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobtide_controller.decide.fleet import Fleet, Pod
from jobtide_controller.decide.scale_down import plan
from tests.unit.decide.builders import NOW

OLD = Pod("u-old", "old", NOW - 900, ready=True)
YOUNG = Pod("u-young", "young", NOW - 60, ready=True)
BUSY = Pod("u-busy", "busy", NOW - 30, ready=True)
STARTING = Pod("u-starting", "starting", NOW - 400)
LEAVING = Pod("u-leaving", "leaving", NOW - 500, ready=True, terminating=True)


def _fleet(*pods: Pod, busy: tuple[str, ...] = ("u-busy",)) -> Fleet:
    return Fleet(current_replicas=len(pods), pods=pods, busy_uids=frozenset(busy))


@pytest.mark.parametrize(
    ("pods", "replicas", "order"),
    [
        pytest.param((OLD, YOUNG), 2, (), id="nothing-to-remove"),
        pytest.param((OLD, YOUNG), 5, (), id="growing"),
        pytest.param((OLD, YOUNG), 1, ("young",), id="the-youngest-first"),
        pytest.param((OLD, YOUNG, STARTING), 1, ("starting", "young"), id="those-not-ready-before-all"),
        pytest.param((OLD, BUSY, YOUNG), 1, ("young", "old"), id="never-a-busy-one"),
        pytest.param((BUSY, OLD), 0, ("old",), id="not-even-when-all-are-to-be-removed"),
        pytest.param((OLD, YOUNG, LEAVING), 2, (), id="terminating-ones-do-not-count"),
    ],
)
def test_idle_pods_are_removed_in_order(pods, replicas, order):
    assert plan(_fleet(*pods), replicas).order == order


def test_first_pod_to_remove_has_the_lowest_cost_and_all_costs_are_negative():
    costs = plan(_fleet(OLD, YOUNG, STARTING, BUSY), 1).costs
    assert costs["starting"] < costs["young"] < costs["old"] < 0
    assert "busy" not in costs


def test_pod_that_claimed_a_job_since_it_was_marked_loses_its_mark():
    marked = replace(BUSY, deletion_cost=-1000)
    assert plan(_fleet(marked, OLD, YOUNG), 2).costs == {"busy": 0, "young": -1000}


def test_existing_marks_are_not_written_again():
    marked = replace(YOUNG, deletion_cost=-1000)
    assert plan(_fleet(OLD, marked), 1).costs == {}


def test_no_scale_down_writes_nothing():
    assert plan(_fleet(replace(OLD, deletion_cost=-5), YOUNG), 2).costs == {}
