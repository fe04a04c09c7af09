"""`jobtide cron acme.jobs:tide`: adds the next slot of every schedule once, and prints them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from jobtide.commands.loading import load_tide
from jobtide.commands.settings import Settings
from jobtide.database_errors import one_line
from jobtide.errors import JobtideError, NoHandlers
from jobtide.printable import printable
from jobtide.producer.enqueue import enqueue_many
from jobtide.queue.session import DatabaseUnreachable, Session, url_source


def add_slots(settings: Settings, write: Callable[[str], object] = sys.stdout.write) -> int:
    """Adds each schedule's next slot, as a worker does at its start; returns the exit code. Raises JobtideError."""
    sys.path.insert(0, "")  # as `python -m` does: the working directory holds the application
    tide = load_tide(settings.app)
    if not tide.schedules:
        raise NoHandlers(
            f"{settings.app} has no schedules; add one with @tide.cron('0 3 * * *', 'type', tenant_id=...)"
        )
    now = datetime.now(UTC)
    jobs = [schedule.job(schedule.next_slot(now)) for schedule in tide.schedules]
    session = Session(url_source(settings.database_url, settings.database_url_file))
    try:
        added = enqueue_many(session.connection(), jobs)
    except (psycopg.Error, DatabaseUnreachable) as refused:
        raise JobtideError(f"the slots could not be added: {one_line(refused)}") from None
    finally:
        session.close()
    for schedule, job, id_ in zip(tide.schedules, jobs, added, strict=True):
        state = "existed" if id_ is None else "added"
        name = f" {schedule.name}" if schedule.name else ""
        what = printable(f"{job.type}{name}")
        write(f"{job.run_at:%Y-%m-%d %H:%M} UTC  {state:9}  {what}  tenant {job.tenant_id}\n")
    return 0
