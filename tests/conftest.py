"""For every level: how contracts are imported, and what a test's processes inherit."""

from __future__ import annotations

import signal

import pytest

# They are modules of asserts, and no test files.
pytest.register_assert_rewrite("tests.contracts")

# A shell has what it runs in the background ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
