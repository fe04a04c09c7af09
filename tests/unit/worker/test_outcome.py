"""What a handler returned or raised decides how its job ends."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide import Fail, Retry, Snooze
from jobtide.payload import Malformed
from jobtide.worker import outcome
from jobtide.worker.outcome import RetryPolicy

POLICY = RetryPolicy(max_attempts=3, base_seconds=2, max_seconds=60)
LIMIT_BYTES = 100


def error_of(end):
    return json.loads(end.result)["error"]


def raise_and_catch(error):
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_returned_value_completes_the_job(job, moment):
    end = outcome.returned(job, {"pages": 3}, LIMIT_BYTES, moment)
    assert (end.status, json.loads(end.result), end.gives_back) == ("completed", {"pages": 3}, False)


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "é€😀", [], {"a": [1, {"b": None}]}, "\\u0000 spelled out"])
def test_any_json_value_is_a_result(job, moment, value):
    end = outcome.returned(job, value, LIMIT_BYTES, moment)
    assert end.status == "completed"
    assert json.loads(end.result) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param({1, 2}, "not a JSON value: Object of type set", id="a set"),
        pytest.param(float("nan"), "not a JSON value", id="NaN"),
        pytest.param([float("inf")], "not a JSON value", id="infinity inside"),
        pytest.param("a\x00b", "U+0000", id="NUL"),
        pytest.param("\\\x00", "U+0000", id="NUL behind a backslash"),
        pytest.param({"\x00": 1}, "U+0000", id="NUL in a key"),
        pytest.param("\ud800", "half a surrogate pair", id="half a character"),
        pytest.param("x" * 99, "has 101 bytes of JSON; the limit is 100", id="too large"),
        pytest.param("€" * 40, "has 122 bytes", id="too large in bytes, not in characters"),
    ],
)
def test_a_result_that_cannot_be_stored_fails_its_job_with_the_reason(job, moment, value, reason):
    end = outcome.returned(job, value, LIMIT_BYTES, moment)
    assert end.status == "failed"
    assert error_of(end)["type"] == "ResultNotStorable"
    assert reason in error_of(end)["message"]


def test_a_result_that_contains_itself_fails_its_job(job, moment):
    knot: list[object] = []
    knot.append(knot)
    assert outcome.returned(job, knot, LIMIT_BYTES, moment).status == "failed"


def test_an_exception_is_retried_with_backoff_and_recorded_in_the_row(job, moment):
    end = outcome.raised(job, raise_and_catch(KeyError("to")), POLICY, moment)
    assert (end.status, end.delay_seconds, end.gives_back) == ("pending", 2.0, False)
    error = error_of(end)
    assert (error["type"], error["message"], error["attempt"]) == ("KeyError", "'to'", 1)
    assert error["at"] == "2026-11-24T00:00:00+00:00"
    assert re.fullmatch(r"test_outcome\.py:\d+ in raise_and_catch", error["traceback"])


@pytest.mark.parametrize(
    ("detail", "stored"),
    [
        pytest.param("message", None, id="message"),
        pytest.param(
            "frames", r"test_outcome\.py:\d+ in raise_and_catch\n(?s:.*)test_outcome\.py:\d+ in chained", id="frames"
        ),
        pytest.param("full", r'(?s)Traceback .*File "/.*raise error.*ValueError: no', id="full"),
    ],
)
def test_a_setting_chooses_what_the_row_keeps_of_a_traceback_and_the_end_has_it_whole(job, moment, detail, stored):
    def chained():
        raise ValueError("no") from raise_and_catch(KeyError("a secret of another tenant"))

    try:
        chained()
    except ValueError as caught:
        error = caught
    end = outcome.raised(job, error, POLICY, moment, detail)
    kept = error_of(end).get("traceback")
    assert kept is None if stored is None else re.match(stored, kept)
    assert detail == "full" or "secret" not in end.result
    assert "a secret of another tenant" in end.trace
    assert "raise error" in end.trace


def test_the_frames_of_a_group_of_exceptions_are_kept(job, moment):
    error = raise_and_catch(ExceptionGroup("several", [raise_and_catch(KeyError("a")), raise_and_catch(OSError("b"))]))
    assert error_of(outcome.raised(job, error, POLICY, moment))["traceback"].count("raise_and_catch") == 3


def test_the_last_attempt_ends_as_failed(job, moment):
    end = outcome.raised(replace(job, attempt=3), raise_and_catch(ValueError("no")), POLICY, moment)
    assert (end.status, error_of(end)["attempt"]) == ("failed", 3)


@pytest.mark.parametrize(
    ("error", "status", "delay", "gives_back"),
    [
        pytest.param(Fail("never"), "failed", None, False, id="Fail ends at once"),
        pytest.param(Retry(after=90), "pending", 90, False, id="Retry with a delay"),
        pytest.param(Retry(after=timedelta(minutes=1)), "pending", 60, False, id="Retry takes a timedelta"),
        pytest.param(Retry("busy"), "pending", 2.0, False, id="Retry without a time backs off"),
        pytest.param(Snooze(300), "pending", 300, True, id="Snooze counts no attempt"),
        pytest.param(SystemExit(1), "pending", 2.0, False, id="sys.exit in a handler is an error like others"),
    ],
)
def test_a_handler_can_choose_the_end(job, moment, error, status, delay, gives_back):
    end = outcome.raised(job, raise_and_catch(error), POLICY, moment)
    assert (end.status, end.delay_seconds, end.gives_back) == (status, delay, gives_back)


def test_snoozing_on_the_last_attempt_still_snoozes(job, moment):
    assert outcome.raised(replace(job, attempt=3), Snooze(1), POLICY, moment).status == "pending"


@pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), 10**12])
def test_an_impossible_delay_is_refused_where_it_is_raised(after):
    with pytest.raises(ValueError, match="expected 0 seconds to ten years"):
        Retry(after=after)


@given(attempt=st.integers(1, 10_000), dice=st.floats(0, 1))
def test_backoff_is_between_half_and_all_of_the_capped_double(attempt, dice):
    full = min(60, 2 * 2 ** min(attempt - 1, 50))
    assert full / 2 <= POLICY.delay_seconds(attempt, dice) <= full


def test_a_job_whose_workers_died_too_often_fails_with_the_last_reason(job, moment):
    dead = replace(job, attempt=4, result={"error": {"message": "out of memory"}})
    end = outcome.exhausted(dead, 3, moment)
    assert (end.status, end.gives_back) == ("failed", True)
    assert error_of(end)["message"] == "gave up after 3 attempts; the last one: out of memory"
    assert error_of(end)["attempt"] == 3


@pytest.mark.parametrize(
    ("result", "text"),
    [
        pytest.param("disk full", "disk full", id="a string"),
        pytest.param({"error": "disk full"}, "disk full", id="its error is a string"),
        pytest.param({"message": "disk full", "code": 28}, "disk full", id="it is the error itself"),
        pytest.param({"error": {"code": 28}}, '{"code": 28}', id="an error without a message"),
        pytest.param({"reason": "disk full"}, '{"reason": "disk full"}', id="another form"),
        pytest.param(["disk full"], '["disk full"]', id="a list"),
        pytest.param("x" * 9_000, "x" * 2_000 + " ...", id="a long one"),
        pytest.param(Malformed("too many levels"), "not readable: too many levels", id="one that is never parsed"),
    ],
)
def test_the_last_error_that_another_consumer_wrote_is_kept(job, moment, result, text):
    end = outcome.exhausted(replace(job, result=result), 3, moment)
    assert error_of(end)["message"] == f"gave up after 3 attempts; the last one: {text}"


def test_a_last_error_of_too_many_levels_is_not_readable(job, moment):
    result: list = []
    for _ in range(5_000):
        result = [result]
    end = outcome.exhausted(replace(job, result=result), 3, moment)
    assert "not readable" in error_of(end)["message"]


@pytest.mark.parametrize("result", [None, [], {}, "", {"error": {}}, {"error": None}], ids=repr)
def test_a_row_without_a_readable_last_error_still_fails_readably(job, moment, result):
    end = outcome.exhausted(replace(job, result=result), 3, moment)
    assert error_of(end)["message"].endswith("the last one: unknown")


def test_a_requeued_job_keeps_the_result_of_its_row(job):
    end = outcome.requeued(job)
    assert (end.status, end.result, end.delay_seconds, end.gives_back) == ("pending", None, None, True)


@given(st.text())
def test_every_error_text_can_be_stored(text):
    # PostgreSQL takes UTF-8 without NUL; the fixtures can't be used under @given, so the job is made here.
    from datetime import UTC, datetime
    from uuid import UUID

    from jobtide.job import Job
    from jobtide.worker.outcome import Moment

    job = Job(UUID(int=1), UUID(int=2), "t", None, 1, "token")
    end = outcome.raised(job, Fail(text), POLICY, Moment(datetime.now(UTC), 0))
    assert "\\u0000" not in end.result.replace("\\\\u0000", "")
    end.result.encode()
