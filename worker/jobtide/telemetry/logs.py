"""What a worker says: one JSON object a line. All words and levels are here."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from jobtide.job import End, Job
from jobtide.telemetry import events

_log = logging.getLogger("jobtide")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """time, level, logger and message, then the record's extra fields and the process's own."""

    def __init__(self, **always: str) -> None:
        super().__init__()
        self._always = {name: value for name, value in always.items() if value}

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
            **self._always,
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


def configure(level: str, *, pool: str, pod: str) -> None:
    """Sends every logger of the process to stderr as JSON; handlers' own loggers too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(pool=pool, pod=pod))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def on_event(event: events.Event) -> None:  # noqa: C901, PLR0912 - one flat table of sentences
    """The subscriber that puts events into words."""
    match event:  # what comes for each job stands on top: being passed over costs time too
        case events.Handled(end, seconds):
            _say_handled(end, seconds)
        case events.Started(app, types, concurrency, pod_uid):
            _say("info", f"working on {', '.join(types)}", app=app, concurrency=concurrency, pod_uid=pod_uid)
        case events.TableSlow(message):
            _say(
                "warning",
                f"{message} Until then each look at an empty queue reads all pending rows, "
                "some 2 s for a million instead of 2 ms; results and turns stay right",
            )
        case events.ListenIgnored():
            _say(
                "warning",
                "JOBTIDE_LISTEN is ignored: a pooler stands before the database, and LISTEN needs a direct connection; "
                "the queue is polled as ever",
            )
        case events.Claimed(jobs, seconds):
            _say("debug", f"claimed {len(jobs)}", seconds=round(seconds, 4))
        case events.Finished(count, seconds):
            _say("debug", f"wrote {count} ends", seconds=round(seconds, 4))
        case events.LeaseLost(job, during):
            _say(
                "warning",
                f"lease lost, seen while trying to {during}: the outcome here does not count",
                **_about(job),
            )
        case events.LeasesKept(count, silent_seconds):
            _say(
                "warning",
                f"a handler has held the interpreter for {silent_seconds:.0f} s; extended {count} leases from outside",
            )
        case events.Overdue(job, stack):
            _say("warning", "job runs past its timeout", stack=stack, **_about(job))
        case events.RescuedJobs(count, why):
            _say("warning", f"returned {count} jobs of dead claims to the queue", why=why)
        case events.EndRefused(job, message):
            _say("error", "the server would not store a result; the job failed", error=message, **_about(job))
        case events.SlotRefused(type_, tenant, message):
            _say(
                "error", "a cron slot was refused: is its tenant still there?", type=type_, tenant=tenant, error=message
            )
        case events.DatabaseLost(doing, message):
            _say("error", f"database unreachable, can't {doing}; running handlers go on", error=message)
        case events.DatabaseStillLost(doing, message):
            _say("error", f"database still unreachable, can't {doing}; the cause is another now", error=message)
        case events.DatabaseBack(doing):
            _say("info", f"database reachable again, can {doing}")
        case events.Draining(running, seconds):
            _say("info", f"stopping: {running} running jobs have {seconds:g} s to finish")
        case events.Drained(returned, unwritten) if unwritten:
            _say(
                "error",
                f"stopped; {returned} jobs given back, {unwritten} ends not written: their leases will expire",
            )
        case events.Drained(returned, _):
            _say("info", f"stopped; {returned} jobs given back")


def _say_handled(end: End, seconds: float) -> None:
    if end.reason == "failed":
        _say("error", "job failed", seconds=round(seconds, 3), **_error(end), **_about(end.job))
    elif end.reason == "retried":
        _say("warning", "job will be retried", seconds=round(seconds, 3), delay_seconds=end.delay_seconds,
             **_error(end), **_about(end.job))  # fmt: skip
    elif _log.isEnabledFor(logging.DEBUG):  # putting it into words costs 5 us a job
        _say("debug", f"job {end.reason}", seconds=round(seconds, 3), **_about(end.job))


def _about(job: Job) -> dict[str, Any]:
    return {"job": str(job.id), "type": job.type, "tenant": str(job.tenant_id), "attempt": job.attempt}


def _error(end: End) -> dict[str, Any]:
    return json.loads(end.result) if end.result else {}


def _say(level: str, message: str, **fields: Any) -> None:
    number = logging.getLevelNamesMapping()[level.upper()]
    if _log.isEnabledFor(number):
        _log.log(number, message, extra=fields)
