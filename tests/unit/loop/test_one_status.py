"""A status waits for the number of workers that it would show a moment later."""

from __future__ import annotations

import pytest

from jobtide_controller.api.crd import UNREPORTED
from jobtide_controller.loop.pipeline import UNREPORTED_SECONDS
from jobtide_controller.telemetry.events import Decided
from tests.unit.kube.objects import pool, refused


@pytest.fixture
async def steady(world):
    """A pool without jobs, whose status is written."""
    world.inventory.upsert_pool(pool())
    await world.until_idle()
    world.statuses.clear()
    return world


async def test_a_scale_up_costs_one_status(steady):
    steady.due(count=8)
    await steady.tick()
    assert steady.applied[-1] == ("thumbs", 2)
    assert [(event.before, event.after) for event in steady.events.of(Decided)] == [(0, 2)], "emitted at once"
    assert steady.statuses == []
    await steady.tick(times=5)
    (status,) = steady.statuses
    assert (status["desiredReplicas"], status["numbers"]["currentReplicas"]) == (2, 2)
    assert [one["replicas"] for one in status["decisions"]][-1] == 2


async def test_a_number_that_is_refused_is_reported_at_once(steady):
    steady.error = refused(403, "Forbidden")
    steady.due(count=8)
    await steady.tick(times=2)
    assert "Forbidden" in str(steady.statuses[-1]["conditions"])


async def test_a_number_that_takes_long_is_reported_as_not_written(steady):
    steady.queue._window.note(0.0, refused(429, retry_after_seconds=30))
    steady.due(count=8)
    await steady.tick(UNREPORTED_SECONDS - 0.5)
    assert not steady.state().unwritten_decisions
    await steady.tick(0.4)
    assert not steady.state().unwritten_decisions
    await steady.tick(UNREPORTED_SECONDS)
    assert steady.state().unwritten_decisions


async def test_the_first_status_of_a_new_pool_does_not_wait(world):
    world.inventory.upsert_pool(pool(minReplicas=1, status=UNREPORTED))
    await world.tick()
    assert world.statuses[0]["desiredReplicas"] == 1
