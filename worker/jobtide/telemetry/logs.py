"""Logs of the worker, one JSON object a line. All messages and levels are in this file."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from jobtide.job import End, Job
from jobtide.printable import printable_json
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
        return printable_json(json.dumps(fields, ensure_ascii=False, default=str))


def configure(level: str, *, pool: str, pod: str) -> None:
    """Sends every logger of the process, those of handlers too, to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(pool=pool, pod=pod))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def on_event(event: events.Event) -> None:  # noqa: C901, PLR0912, PLR0915 - one flat table of sentences
    """Logs one event."""
    match event:  # the event of each job comes first: each case before it costs time
        case events.Handled(end, seconds):
            _write_handled(end, seconds)
        case events.Started(app, types, concurrency, pod_uid):
            _write("info", f"working on {', '.join(types)}", app=app, concurrency=concurrency, pod_uid=pod_uid)
        case events.TableSlow(message):
            _write(
                "warning",
                f"{message} Until then each poll of an empty queue reads all pending rows, "
                "about 2 s for a million instead of 2 ms; results and fairness stay the same",
            )
        case events.LimitsDenied():
            _write(
                "warning",
                "the role may not read jobtide_pool_limits and jobtide_tenant_limits, so this worker does not see "
                "limits of tenants that change: GRANT jobtide_worker TO the role, or GRANT SELECT on both tables",
            )
        case events.ListenNotNeeded():
            _write("warning", "JOBTIDE_LISTEN is no longer needed: an INSERT wakes idle workers by itself; remove it")
        case events.Claimed(jobs, seconds):
            _write("debug", f"claimed {len(jobs)}", seconds=round(seconds, 4))
        case events.Finished(count, seconds):
            _write("debug", f"wrote {count} ends", seconds=round(seconds, 4))
        case events.LeaseLost(job, during):
            _write(
                "warning",
                f"lease lost (noticed at {during}): this attempt's result is discarded: the job was cancelled, "
                "or another worker has it",
                **_about(job),
            )
        case events.LeasesKept(count, silent_seconds):
            _write(
                "warning",
                f"a handler has held the interpreter for {silent_seconds:.0f} s; the keeper extended {count} leases",
            )
        case events.Overdue(job, stack):
            _write("warning", "job runs past its timeout", stack=stack, **_about(job))
        case events.RescuedJobs(count, why):
            _write("warning", f"requeued {count} jobs of dead claims", why=why)
        case events.RunsApart(job, how):
            _write("warning", f"a crash of its worker took this job along; it runs {how} now", **_about(job))
        case events.AllStuck(places, exit_code):
            _write(
                "error",
                f"all {places} running handlers are past their timeout and do not stop; "
                f"the worker drains and exits with code {exit_code}, so that its pod starts it again",
            )
        case events.EndRefused(job, message):
            _write("error", "the server refused to store a result; the job failed", error=message, **_about(job))
        case events.RowLeft(id_, during, message, job):
            _write(
                "warning",
                f"the server refuses to change a row (noticed at {during}): the row is left and tried again later",
                error=message,
                **(_about(job) if job else {"job": id_}),
            )
        case events.ClaimRefused(id_, type_, tenant, message):
            _write(
                "error",
                "the server refused the claim of a row; the job failed",
                error=message,
                job=id_,
                type=type_,
                tenant=tenant,
            )
        case events.EndGivenUp(job):
            _write(
                "error",
                "too many refused ends wait: this one is given up, its lease expires and the job runs again",
                **_about(job),
            )
        case events.ClaimsPaused(unwritten, seconds):
            _write(
                "error",
                f"no claims: {unwritten} ends of jobs wait to be written, the oldest for {seconds:.0f} s; "
                "their leases are kept, running handlers go on",
            )
        case events.ClaimsResumed(seconds):
            _write("info", f"ends are written again, claims go on after {seconds:.0f} s")
        case events.SlotRefused(type_, tenant, message):
            _write("error", "a cron slot was refused: does its tenant exist?", type=type_, tenant=tenant, error=message)
        case events.DatabaseLost(doing, message, state):
            _write("error", f"database {state}, can't {doing}; running handlers go on", error=message)
        case events.DatabaseStillLost(doing, message, state):
            _write("error", f"database still {state}, can't {doing}; the cause is another now", error=message)
        case events.DatabaseBack(doing):
            _write("info", f"database back, can {doing} again")
        case events.Draining(running, seconds):
            _write("info", f"stopping: {running} running jobs have {seconds:g} s to finish")
        case events.Drained(requeued, unwritten) if unwritten:
            _write(
                "error",
                f"stopped; requeued {requeued} jobs; {unwritten} ends were not written: their leases will expire",
            )
        case events.Drained(requeued, _):
            _write("info", f"stopped; requeued {requeued} jobs")


def _write_handled(end: End, seconds: float) -> None:
    if end.reason == "failed":
        _write("error", "job failed", seconds=round(seconds, 3), **_error(end), **_about(end.job))
    elif end.reason == "retried":
        _write("warning", "job will be retried", seconds=round(seconds, 3), delay_seconds=end.delay_seconds,
             **_error(end), **_about(end.job))  # fmt: skip
    elif _log.isEnabledFor(logging.DEBUG):  # making the message costs 5 us a job
        _write("debug", f"job {end.reason}", seconds=round(seconds, 3), **_about(end.job))


def _about(job: Job) -> dict[str, Any]:
    return {"job": str(job.id), "type": job.type, "tenant": str(job.tenant_id), "attempt": job.attempt}


def _error(end: End) -> dict[str, Any]:
    """The error as it is stored, with the whole traceback."""
    stored: dict[str, Any] = json.loads(end.result) if end.result else {}
    if end.trace and isinstance(stored.get("error"), dict):
        stored["error"]["traceback"] = end.trace
    return stored


def _write(level: str, message: str, **fields: Any) -> None:
    number = logging.getLevelNamesMapping()[level.upper()]
    if _log.isEnabledFor(number):
        _log.log(number, message, extra=fields)
