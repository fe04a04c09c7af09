"""The worker's arrays arrive as they were written."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from uuid import UUID

import pytest

from jobtide.queue.refusals import RowRefused
from jobtide.queue.session import Session

TEXTS = ["", "NULL", "null", '"', "\\", '\\"', "{a,b}", " lead", "a,b", "%s", "line\nbreak", "é 😀", "{}", "'"]


@pytest.fixture
def session(database):
    session = Session(lambda: database)
    yield session
    session.close()


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        pytest.param("SELECT %(values)s::text[] AS got", [*TEXTS, None], id="text"),
        pytest.param("SELECT %(values)s::text[] AS got", ['"a"', None, "b", '"a"', None, '"a"'], id="repeated text"),
        pytest.param("SELECT %(values)s::uuid[] AS got", [UUID(int=0), UUID(int=(1 << 128) - 1), None], id="uuid"),
        pytest.param("SELECT %(values)s::int[] AS got", [-(2**31), 0, 2**31 - 1, None], id="int"),
        pytest.param("SELECT %(values)s::float8[] AS got", [0.1, 1e-300, -3, math.inf, None], id="float8"),
        pytest.param("SELECT %(values)s::bool[] AS got", [True, False, None], id="bool"),
        pytest.param(
            "SELECT %(values)s::timestamptz[] AS got",
            [datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC), None],
            id="timestamptz",
        ),
        pytest.param("SELECT %(values)s::text[] AS got", [], id="empty"),
    ],
)
def test_an_array_arrives_as_it_was_written(session, statement, values):
    assert session.execute(statement, {"values": values}) == [{"got": values}]


def test_a_nul_character_is_refused_and_never_ends_the_array_early(session):
    with pytest.raises(RowRefused, match="NUL"):
        session.execute("SELECT %(values)s::text[] AS got", {"values": ["a\x00b"]})


def test_half_a_surrogate_pair_is_refused_as_bad_data(session):
    with pytest.raises(RowRefused, match="surrogate"):
        session.execute("SELECT %(values)s::text[] AS got", {"values": ["\ud800"]})
