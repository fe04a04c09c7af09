"""`make demo-cluster` with few jobs: the same command, the same report."""

from __future__ import annotations

import pytest

from tests.contracts.demo import DemoContract


@pytest.mark.timeout(3_000)  # the first run on a machine builds its images, and all of Kubernetes
class TestDemoOnACluster(DemoContract):
    flags = ("--cluster",)
