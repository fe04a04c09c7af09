"""What a test counts outside the worker: ends in the table, side effects in a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest


@pytest.fixture
def notes(tmp_path) -> Callable[[], Counter[str]]:
    """The side effects so far: how often each line was written."""
    file = tmp_path / "notes"
    file.touch()
    return lambda: Counter(file.read_text().split())


@pytest.fixture
def ends(connect) -> Callable[[], Counter[UUID]]:
    """How often each job has ended."""
    connection = connect()
    connection.execute(
        """CREATE TABLE ends (job_id uuid NOT NULL);
           CREATE FUNCTION count_end() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN INSERT INTO ends VALUES (NEW.id); RETURN NULL; END';
           CREATE TRIGGER count_end AFTER UPDATE ON job_queue FOR EACH ROW
               WHEN (NEW.status IN ('completed', 'failed')) EXECUTE FUNCTION count_end()"""
    )
    return lambda: Counter(id_ for (id_,) in connection.execute("SELECT job_id FROM ends"))
