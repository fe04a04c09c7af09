"""`make demo` with few jobs: the same command, the same report."""

from __future__ import annotations

import os

import psutil
import pytest

from tests.contracts.demo import DemoContract


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


class TestDemoOnThisMachine(DemoContract):
    @pytest.fixture(autouse=True)
    def _folder_of_its_own(self, cache):
        self.environment = {**os.environ, "JOBTIDE_CACHE": str(cache)}

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, cache, wait_until):
        yield
        wait_until(lambda: not running_in(cache))


def running_in(directory):
    """Processes whose working directory or command line is in it."""
    return [
        process.info
        for process in psutil.process_iter(["pid", "cwd", "cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and str(directory) in f"{process.info['cwd']} {process.info['cmdline']}"
    ]
