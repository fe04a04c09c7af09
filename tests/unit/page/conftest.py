from __future__ import annotations

import pytest

from tests.unit.page.world import Browser, World, entry, served, snapshot


@pytest.fixture
async def world():
    """Two pools in two namespaces, of one database."""
    one = World(snapshot(entry("thumbs", "media", types=["a"]), entry("bills", "crm", types=["b"])))
    async with served(one):
        yield one


@pytest.fixture
async def browser(world):
    async with Browser(world.base) as one:
        yield one
