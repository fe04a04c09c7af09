"""Memory stays what it was: what a controller keeps depends on what is there now, not on how long it has run."""

from __future__ import annotations

import pytest

from jobtide_controller.kube.write import events
from jobtide_controller.loop import tombstones
from tests.unit.loop.day import TICK_SECONDS, Day

HOUR = int(3600 / TICK_SECONDS)


@pytest.mark.slow
@pytest.mark.timeout(600)  # some 20 s; the machine may have other things to do
async def test_after_a_day_nothing_is_kept_that_was_not_kept_after_two_hours(monkeypatch):
    # These are bounds: smaller ones are reached within the first two hours, too.
    monkeypatch.setattr(tombstones, "KEPT", 20)
    monkeypatch.setattr(events, "REMEMBERED", 10)
    day = Day()
    started = day.clock()
    await day.run(2 * HOUR)
    early = day.stores()
    await day.run(22 * HOUR)
    late = day.stores()
    assert day.clock() - started == 24 * 3600
    grown = {name: (early[name], size) for name, size in late.items() if size > 1.2 * early[name] + 10}
    assert grown == {}
    assert early["Inventory._deployments"] > 0
    assert early["DatabaseState.pools"] > 0
