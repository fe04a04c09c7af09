"""The scripted queue keeps the contract of the real one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contracts.job_queue import JobQueueContract
from tests.unit.worker.scripted import ScriptedQueue, job_of


class TestScriptedQueue(JobQueueContract):
    @pytest.fixture
    def table(self):
        return ScriptedQueue()

    @pytest.fixture
    def queue(self, table):
        return table.of_pod

    @pytest.fixture
    def add(self, table):
        def add(type_, tenant):
            table.due.append(replace(job_of(type_), tenant_id=tenant))
            return table.due[-1].id

        return add

    @pytest.fixture
    def expire(self, table):
        return lambda job: table.expired.add(job.id)
