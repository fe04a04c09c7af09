"""The queue over a real table keeps the contract that workers rely on."""

from __future__ import annotations

import pytest

from tests.contracts.job_queue import JobQueueContract


class TestPostgresJobQueue(JobQueueContract):
    @pytest.fixture
    def add(self, connect, enqueue):
        connection = connect()

        def add(type_, tenant):
            connection.execute("INSERT INTO tenants (id) VALUES (%s) ON CONFLICT DO NOTHING", [tenant])
            return enqueue(type_, tenant)

        return add
