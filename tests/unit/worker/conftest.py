from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from jobtide.job import Job
from jobtide.worker.outcome import Moment


@pytest.fixture
def job() -> Job:
    return Job(UUID(int=1), UUID(int=2), "mail.send", {"to": "x"}, attempt=1, token="jobtide:pod:nonce")


@pytest.fixture
def moment() -> Moment:
    return Moment(datetime(2026, 11, 24, tzinfo=UTC), dice=1.0)
