"""For every level: contracts are modules of asserts, and no test files."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contracts")
