"""Turns events into log lines: every sentence and level of the controller is here. No change, no line."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, assert_never

from jobtide.printable import printable_lines
from jobtide.telemetry.logs import JsonFormatter
from jobtide_controller.telemetry import events

LogFormat = Literal["json", "text"]

_log = logging.getLogger("jobtide_controller")


def configure(level: str, log_format: LogFormat) -> None:
    """Sets one handler for the whole process, including kopf's loggers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # One line for each event of each object.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    # One line at each start: that kopf does not handle signals.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    for chatty in ("kopf", "aiohttp.access", "asyncio", "psycopg"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


class _TextFormatter(logging.Formatter):
    """For a terminal: only line breaks are left of what is not printable. A line that begins a record is not indented:
    no text of a user looks like a record of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record)).replace("\n", "\n    ")


def _formatter(log_format: LogFormat) -> logging.Formatter:
    return JsonFormatter() if log_format == "json" else _TextFormatter("%(asctime)s %(levelname)s %(message)s")


def on_event(event: events.Event) -> None:  # noqa: C901, PLR0912, PLR0915 - one flat table of sentences
    """The subscriber that logs events."""
    match event:
        case events.Started(version, namespaces, databases, identity, port, page_port):
            where = ", ".join(namespaces) or "all namespaces"
            known = ", ".join(databases) or "none yet"
            page = {} if page_port is None else {"page_port": page_port}
            _say(logging.INFO, f"jobtide controller {version} starts: {where}, databases: {known}", identity=identity,
                 port=port, **page)  # fmt: skip
        case events.Stopping(why, failed):
            _say(logging.ERROR if failed else logging.INFO, f"stopping: {why}")
        case events.LeaderChanged(leading, why):
            _say(logging.INFO, f"{'leading' if leading else 'not leading'}: {why}", leading=leading)
        case events.LeaseFailed(message):
            _say(logging.WARNING, f"lease: {message}")
        case events.WatchEnded(why, restart_seconds):
            _say(logging.WARNING, f"watch ended, restarting in {restart_seconds:.1f} s: {why}")
        case events.WatchLost(why):
            _say(logging.WARNING, f"watch can't reach the API server, retrying: {why}")
        case events.WatchFound(away_seconds):
            _say(logging.INFO, f"watch reaches the API server again after {away_seconds:.1f} s")
        case events.Relisted(kind, count, repaired, seconds):
            level = logging.WARNING if repaired else logging.DEBUG
            _say(level, f"listed {count} {kind}, {repaired} repaired", kind=kind, seconds=round(seconds, 3))
        case events.RelistFailed(kind, message):
            _say(logging.WARNING, f"can't list {kind}: {message}", kind=kind)
        case events.ObjectRejected(kind, pool, uid, message):
            _say(logging.ERROR, f"{kind} {pool} can't be used: {message}", pool=str(pool), uid=uid)
        case events.Ticked(database, read_seconds, keys, pools, seconds):
            _say(logging.DEBUG, f"read {database}", database=database, read_seconds=round(read_seconds, 5),
                 keys=keys, pools=pools, seconds=round(seconds, 5))  # fmt: skip
        case events.DatabaseLost(database, reason, message):
            _say(logging.WARNING, f"database {database} can't be read, its pools are held: {message}",
                 database=database, reason=reason)  # fmt: skip
        case events.DatabaseFound(database, away_seconds):
            again = "" if away_seconds is None else f" again after {away_seconds:.1f} s"
            _say(logging.INFO, f"database {database} can be read{again}", database=database)
        case events.Decided(pool, _, before, after, reason, message, limited_by):
            _say(logging.INFO, f"{pool}: {before} -> {after} workers: {message}", pool=str(pool),
                 before=before, after=after, reason=reason, limited_by=list(limited_by))  # fmt: skip
        case events.ReasonChanged(pool, _, condition, good, reason, message):
            _say(logging.INFO if good else logging.WARNING, f"{pool}: {condition}: {message or reason}",
                 pool=str(pool), condition=condition, reason=reason)  # fmt: skip
        case events.Wrote(what, seconds, code):
            _say(logging.DEBUG, f"wrote {what}", code=code, seconds=round(seconds, 4))
        case events.WriteFailed(pool, what, message, retry_seconds):
            _say(logging.WARNING, f"{pool}: {what} failed, next try in {retry_seconds:.1f} s: {message}",
                 pool=str(pool))  # fmt: skip
        case events.EventRefused(pool, message):
            _say(logging.WARNING, f"{pool}: the API server refused an Event: {message}", pool=str(pool))
        case events.Rescued(database, pod_uid, jobs, gave_back):
            how = "requeued, attempt not counted" if gave_back else "requeued, attempt counted"
            _say(logging.INFO, f"{jobs} jobs of gone worker {pod_uid} {how}", database=database, jobs=jobs)
        case events.RescueFailed(database, message):
            _say(logging.WARNING, f"jobs of gone workers are not requeued yet: {message}", database=database)
        case events.ForeignWorker(database, pod_uid):
            _say(logging.WARNING, f"pod {pod_uid} claims jobs of database {database} and is not in this cluster: "
                 "its jobs are requeued only when their leases expire",
                 database=database)  # fmt: skip
        case events.EndedDeleted(database, status, jobs, seconds):
            _say(logging.DEBUG, f"deleted {jobs} {status} jobs", database=database, seconds=round(seconds, 4))
        case events.DeletionFailed(database, message):
            _say(logging.WARNING, f"ended jobs are not deleted: {message}", database=database)
        case events.TableJudged(database, reason, message):
            _say(logging.INFO if reason == "Healthy" else logging.WARNING,
                 f"table of database {database}: {reason}: {message}", database=database, reason=reason)  # fmt: skip
        case events.TypesUnserved(database, types, message, _):
            _say(logging.WARNING if types else logging.INFO, message, database=database, types=list(types))
        case events.Acted(user, database, verb, which, changed, skipped, state, message):
            why = f": {message}" if message else ""
            _say(logging.WARNING if message else logging.INFO,
                 f"{user}: {verb} of {changed} jobs of database {database}, {skipped} skipped, {state}{why}",
                 user=user, database=database, action=verb, filter=dict(which), changed=changed, skipped=skipped,
                 state=state)  # fmt: skip
        case events.Failed(where, traceback):
            _say(logging.ERROR, f"bug: {where} failed, please report it\n{traceback}")
        case _:
            assert_never(event)


def _say(level: int, sentence: str, **fields: Any) -> None:
    _log.log(level, sentence, extra=fields)
