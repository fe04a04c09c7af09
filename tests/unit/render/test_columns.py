"""A pool's line is the one of `kubectl get jwp`."""

from __future__ import annotations

import pytest

from jobtide_controller.render import columns

ITEM = {
    "metadata": {"name": "docs", "creationTimestamp": "2026-11-24T12:00:00Z"},
    "spec": {"minReplicas": 0},
    "status": {
        "display": {"pending": "8,140", "oldest": "4m10s", "busy": "3"},
        "desiredReplicas": 4,
        "readyReplicas": 3,
        "reason": "ScalingUp",
    },
}
NOON = 1_795_521_600.0


def test_headings_and_cells_are_those_that_kubectl_shows_without_wide_output():
    assert columns.head() == ("NAME", "PENDING", "OLDEST", "BUSY", "DESIRED", "READY", "REASON", "AGE")
    assert columns.cells(ITEM, NOON + 250) == ("docs", "8,140", "4m10s", "3", "4", "3", "ScalingUp", "4m10s")


@pytest.mark.parametrize("status", [{}, {"status": None}, {"status": {"display": None}}])
def test_what_the_object_does_not_have_is_empty(status):
    assert columns.cells({"metadata": {"name": "new"}, **status}, NOON) == ("new", *[""] * 7)


def test_a_pool_of_the_future_is_of_age_zero():
    assert columns.cells(ITEM, NOON - 9)[-1] == "0s"
