"""A handler run inline: the result that a worker would store is returned, the error that it would record is raised."""

from __future__ import annotations

from uuid import UUID

import pytest
from pydantic import BaseModel

from jobtide import Fail, Snooze, Tide
from jobtide.testing import run, run_async

tide = Tide()


class Mail(BaseModel):
    to: str


@tide.job("mail")
def mail(payload: Mail, ctx) -> dict:
    return {"to": payload.to, "pair": (1, 2), "attempt": ctx.attempt, "tenant": str(ctx.tenant_id)}


@tide.job("echo")
async def echo(payload):
    return payload


@tide.job("odd")
def odd(payload: dict):
    if payload.get("snooze"):
        raise Snooze(5)
    return {1, 2}


def test_the_result_is_as_it_would_be_stored():
    found = run(tide, "mail", {"to": "a"}, tenant_id=UUID(int=3), attempt=2)
    assert found == {"to": "a", "pair": [1, 2], "attempt": 2, "tenant": str(UUID(int=3))}


def test_a_model_may_be_given_as_the_payload():
    assert run(tide, "mail", Mail(to="b"))["to"] == "b"


def test_a_coroutine_function_runs_inline_too():
    assert run(tide, "echo", {"pair": (1, 2)}) == {"pair": [1, 2]}


async def test_inside_a_coroutine_it_is_awaited():
    assert await run_async(tide, "echo", [1]) == [1]
    assert (await run_async(tide, "mail", {"to": "a"}))["to"] == "a"


async def test_inside_a_coroutine_the_error_names_the_function_to_await():
    with pytest.raises(RuntimeError, match=r"await jobtide.testing.run_async"):
        run(tide, "echo", 1)


@pytest.mark.parametrize(
    ("type_", "payload", "error", "reason"),
    [
        pytest.param("mail", {}, Fail, "to: Field required", id="a payload that does not fit"),
        pytest.param("odd", {"snooze": True}, Snooze, "snoozed", id="what the handler raises"),
        pytest.param("odd", {}, ValueError, "result is not a JSON value", id="a result that can't be stored"),
        pytest.param("mail", {"to": {1}}, ValueError, "payload of 'mail' is not", id="a payload that can't be"),
        pytest.param(
            "none", {}, LookupError, "no handler for 'none'; there are: 'mail', 'echo', 'odd'", id="no handler"
        ),
    ],
)
def test_what_a_worker_would_record_is_raised(type_, payload, error, reason):
    with pytest.raises(error, match=reason):
        run(tide, type_, payload)
