from __future__ import annotations

import pytest

from tests.unit.controller.world import World


@pytest.fixture
def world():
    return World()
