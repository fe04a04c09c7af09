"""Turns what a handler returned or raised into the end of its job."""

from __future__ import annotations

import json
import random
import re
import traceback
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from jobtide.backoff import full_backoff_seconds
from jobtide.errors import Fail, Retry, Snooze
from jobtide.job import RUNS_ALONE, WAITS_ALONE, End, Job, Json, suspicion_of, with_suspicion
from jobtide.payload import Malformed, json_text

_MAX_MESSAGE_CHARS = 4_000
_MAX_TRACEBACK_CHARS = 16_000
_MAX_LOGGED_CHARS = 64_000
_MAX_LAST_ERROR_CHARS = 2_000
# One frame of a traceback; in a group of exceptions bars come before it.
_FRAME = re.compile(r'^[\s|]*File "(?:.*[/\\])?(.*)", line (\d+), in (.*)$', re.MULTILINE)

ErrorDetail = Literal["message", "frames", "full"]
"""What a stored error holds besides type and message: nothing, its frames, or the whole traceback."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Backoff is least(max_seconds, base_seconds * 2^(attempt-1)), half of it random."""

    max_attempts: int = 5
    base_seconds: float = 2.0
    max_seconds: float = 3_600.0

    def delay_seconds(self, attempt: int, dice: float) -> float:
        """Worked: base 2, attempt 3 -> 4 s, plus up to 4 s in proportion to `dice` (0 to 1)."""
        full = full_backoff_seconds(attempt, base_seconds=self.base_seconds, max_seconds=self.max_seconds)
        return full * (0.5 + dice / 2)


class Moment(NamedTuple):
    """The impure inputs of an outcome: the time, and a random number from 0 to 1."""

    at: datetime
    dice: float


def moment() -> Moment:
    """Now, with a new random number. The only impure function here."""
    return Moment(datetime.now(UTC), random.random())  # noqa: S311 - jitter, not a secret


def returned(job: Job, value: Json, max_result_bytes: int, moment: Moment) -> End:
    """The handler returned: completed; or failed if the value can't be stored, which only a code change can fix."""
    try:
        text = encode(value, max_result_bytes)
    except ValueError as unusable:
        return _failed(job, error_object(job, "ResultNotStorable", str(unusable), moment))
    return End(job, "completed", text, reason="completed")


def raised(job: Job, error: BaseException, policy: RetryPolicy, moment: Moment, detail: ErrorDetail = "frames") -> End:
    """The handler raised: retried with backoff until attempts are used up, unless it raised Snooze or Fail.

    The tenant's users can read what the row keeps of the error; the whole traceback is in the end's `trace`.
    """
    trace = _trace_of(error)
    described = error_object(job, type(error).__name__, str(error), moment, trace=_stored_trace(trace, detail))
    if isinstance(error, Snooze):
        return End(job, "pending", _kept(job), error.after_seconds, gives_back=True, reason="snoozed")
    logged = trace[-_MAX_LOGGED_CHARS:] if trace else None
    if isinstance(error, Fail) or job.attempt >= policy.max_attempts:
        return replace(_failed(job, described), trace=logged)
    asked = error.after_seconds if isinstance(error, Retry) else None
    delay = policy.delay_seconds(job.attempt, moment.dice) if asked is None else asked
    return End(job, "pending", described, delay, reason="retried", trace=logged)


def exhausted(job: Job, max_attempts: int, moment: Moment) -> End:
    """Workers died while they ran this job, until its attempts were used up: it fails without another run."""
    message = f"gave up after {max_attempts} attempts; the last one: {_last_error(job.result) or 'unknown'}"
    described = error_object(job, "AttemptsExhausted", message, moment, attempt=job.attempt - 1)
    return End(job, "failed", described, gives_back=True, reason="failed")


def suspected(end: End, level: int) -> End:
    """The same end, with the mark of a suspect in its result: the next run is apart."""
    if end.status != "pending":
        return end
    known = with_suspicion(end.job, level) if end.result is None else {**json.loads(end.result), "suspect": level}
    return replace(end, result=json.dumps(known, ensure_ascii=False))


def _kept(job: Job) -> str | None:
    """What the row of a requeued job keeps: all, but one that ran alone does so no more."""
    if suspicion_of(job) != RUNS_ALONE:
        return None
    return json.dumps(with_suspicion(job, WAITS_ALONE), ensure_ascii=False)


def _last_error(result: Json) -> str:
    """The text of a row's last error, also if another consumer wrote it: its form is not ours.

    {"error": {"message": "full"}}, {"error": "full"}, {"message": "full"} and "full" give: full. Others: their JSON.
    """
    found = result
    for key in ("error", "message"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    if isinstance(found, Malformed):
        return f"not readable: {found.why}"
    try:
        text = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False) if found else ""
    except RecursionError as deep:
        return f"not readable: {deep}"
    return text if len(text) <= _MAX_LAST_ERROR_CHARS else text[:_MAX_LAST_ERROR_CHARS] + " ..."


def requeued(job: Job) -> End:
    """The worker stops before the job is done: pending and due at once, the attempt not counted."""
    return End(job, "pending", _kept(job), None, gives_back=True, reason="returned")


def encode(value: Json, max_bytes: int) -> str:
    """JSON text that jsonb accepts. Raises ValueError if the value is no JSON or has more than `max_bytes`."""
    text = json_text(value, "the result")
    size = len(text) if text.isascii() else len(text.encode())
    if size > max_bytes:
        raise ValueError(f"the result has {size} bytes of JSON; the limit is {max_bytes} (JOBTIDE_MAX_RESULT_BYTES)")
    return text


def error_object(
    job: Job,
    type_: str,
    message: str,
    moment: Moment,
    *,
    trace: str | None = None,
    attempt: int | None = None,
) -> str:
    """`{"error": {type, message, traceback, attempt, at}}` as JSON text that can always be stored."""
    error = {
        "type": type_,
        "message": _storable(message)[:_MAX_MESSAGE_CHARS],
        "attempt": job.attempt if attempt is None else attempt,
        "at": moment.at.isoformat(),
    }
    if trace:
        error["traceback"] = _storable(trace)[-_MAX_TRACEBACK_CHARS:]
    return json.dumps({"error": error}, ensure_ascii=False)


def _failed(job: Job, described: str) -> End:
    return End(job, "failed", described, reason="failed")


def _trace_of(error: BaseException) -> str | None:
    if isinstance(trace := getattr(error, "trace", None), str):  # of the process in which the handler raised
        return trace
    if isinstance(error, Fail | Retry | Snooze) or error.__traceback__ is None:
        return None
    return "".join(traceback.format_exception(error))


def _stored_trace(trace: str | None, detail: ErrorDetail) -> str | None:
    """Worked, for frames: `  File "/app/acme/jobs.py", line 12, in send` becomes `jobs.py:12 in send`."""
    if trace is None or detail == "message":
        return None
    if detail == "full":
        return trace
    return "\n".join(f"{file}:{line} in {function}" for file, line, function in _FRAME.findall(trace)) or None


def _storable(text: str) -> str:
    return text.replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
