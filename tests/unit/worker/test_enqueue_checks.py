"""A job that can't be stored is refused with the reason, before anything is sent to a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import BaseModel

from jobtide import enqueue, enqueue_async
from jobtide.producer.enqueue import NewJob, _check
from jobtide.producer.job_ids import key_of, key_of_id

TENANT = UUID(int=7)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"payload": {"x": float("nan")}}, "payload of 't' is not a JSON value", id="NaN"),
        pytest.param({"payload": {"x": "a\x00b"}}, r"holds the character U\+0000", id="NUL"),
        pytest.param({"payload": {"x": "\ud800"}}, "half a surrogate pair", id="half a character"),
        pytest.param({"payload": {"x": {1, 2}}}, "Object of type set", id="a set"),
        pytest.param({"payload": {"x": datetime(2026, 1, 1, tzinfo=UTC)}}, "Object of type datetime", id="a datetime"),
        pytest.param({"payload": {"x": 10**5_000}}, "4300 digits", id="an endless number"),
        pytest.param({"type": ""}, "job type ''", id="no type"),
        pytest.param({"type": " t"}, "job type ' t'", id="a type with spaces around"),
        pytest.param({"type": "a\x00"}, r"the job type holds the character U\+0000", id="NUL in the type"),
        pytest.param({"tenant_id": "acme"}, "tenant_id='acme': expected a UUID", id="a tenant that is no UUID"),
        pytest.param({"tenant_id": None}, "tenant_id=None: expected a UUID", id="no tenant"),
        pytest.param({"run_at": datetime(2026, 1, 1)}, "has no timezone", id="a local time"),  # noqa: DTZ001
        pytest.param({"after": -1}, "expected 0 seconds to ten years", id="the past"),
        pytest.param({"run_at": datetime(2026, 1, 1, tzinfo=UTC), "after": 1}, "give one of them", id="two times"),
        pytest.param({"unique": ""}, "every job of this type", id="an empty key"),
        pytest.param({"unique": "a", "job_id": UUID(int=1)}, "give one of them", id="a key and an id"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_the_reason(fields, reason):
    with pytest.raises(ValueError, match=reason):
        _check(NewJob(**{"type": "t", "tenant_id": TENANT, **fields}))


def test_a_pydantic_model_is_stored_as_its_json():
    class Mail(BaseModel):
        to: str
        at: datetime

    checked = _check(NewJob(type="t", tenant_id=TENANT, payload=Mail(to="a", at=datetime(2026, 1, 1, tzinfo=UTC))))
    assert checked.payload == '{"to":"a","at":"2026-01-01T00:00:00Z"}'


def test_a_delay_may_be_a_timedelta():
    assert '"after_seconds": 90.0' in _check(NewJob(type="t", tenant_id=TENANT, after=timedelta(minutes=1.5))).as_json()


@pytest.mark.parametrize("connection", [object(), "postgresql://localhost", None], ids=["object", "url", "none"])
def test_the_error_for_no_connection_names_the_supported_ones(connection):
    with pytest.raises(TypeError, match="expected a connection of psycopg 3, SQLAlchemy"):
        enqueue(connection, "t", tenant_id=TENANT)


async def test_the_error_for_no_connection_is_the_same_in_coroutines():
    with pytest.raises(TypeError, match="expected a connection of psycopg 3, SQLAlchemy"):
        await enqueue_async(object(), "t", tenant_id=TENANT)


def test_the_ids_of_a_key_are_one_range_that_no_random_id_falls_into():
    key = key_of("unique", TENANT, "t", "a")
    first, last = key.first_id, key.last_id
    assert first < key.id(1) < key.id(2) < last
    assert (first.version, last.version) == (8, 8)
    assert key_of_id(key.id(77)) == key
    assert -(2**63) <= key.lock < 2**63


@pytest.mark.parametrize(
    "other",
    [("cron", TENANT, "t", "a"), ("unique", UUID(int=8), "t", "a"), ("unique", TENANT, "u", "a"),
     ("unique", TENANT, "t", "b"), ("unique", TENANT, 't","a', "")],
    ids=["kind", "tenant", "type", "name", "quotes"],
)  # fmt: skip
def test_another_kind_tenant_type_or_name_is_another_key(other):
    assert key_of("unique", TENANT, "t", "a") != key_of(*other)
