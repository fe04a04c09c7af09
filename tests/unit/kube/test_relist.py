"""A full list that failed is repeated soon: its repairs must not wait for the next regular list."""

from __future__ import annotations

import asyncio
import contextlib

from jobtide_controller.kube.inventory import relist
from jobtide_controller.kube.inventory.relist import Relister
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.telemetry.events import Relisted, RelistFailed
from tests.unit.kube.objects import Events, refused

HOUR = 3600.0


class Api:
    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.listed = asyncio.Event()

    async def list_pages(self, path, **_):
        if self.failures:
            self.failures -= 1
            raise refused(503)
        yield {"metadata": {"resourceVersion": "1"}, "items": []}
        if path.endswith("/pods"):
            self.listed.set()


async def test_a_list_that_failed_is_repeated_soon_and_reported_once(monkeypatch):
    monkeypatch.setattr(relist, "AFTER_START_SECONDS", 0.001)
    events, api = Events(), Api(failures=3)
    running = asyncio.create_task(Relister(api, Inventory(events), (), events).run(HOUR))
    async with asyncio.timeout(10):
        await api.listed.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert len(events.of(RelistFailed)) == 1
    assert {event.kind for event in events.of(Relisted)} >= {"jobworkerpools", "deployments"}
