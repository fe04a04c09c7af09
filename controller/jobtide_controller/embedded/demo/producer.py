"""Adds a burst of jobs again and again, nine tenths of them from one tenant: the pools go to N and back to 0."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from jobtide.commands.enqueue import tenant_of
from jobtide.database_errors import connect, one_line
from jobtide.producer.enqueue import NewJob, enqueue_many

PAUSE_SECONDS = 45.0
LOUD_MAILS = 900
MAILS = 10  # of each quiet tenant
QUIET = tuple(f"tenant {number}" for number in range(1, 10))
LOUD = "the loud tenant"
REPORTS = 2  # of each quiet tenant


class Producer:
    """A thread from `with` to its end. `say` gets one sentence for each burst."""

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        self._url = url
        self._say = say
        self._ended = threading.Event()

    def __enter__(self) -> None:
        threading.Thread(target=self._run, name="demo-producer", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                added = add_burst(self._url)
                self._say(f"demo: {added} jobs of {1 + len(QUIET)} tenants; the next ones in {PAUSE_SECONDS:.0f} s")
            except psycopg.Error as error:
                self._say(f"demo: no jobs were added: {one_line(error)}; the next try is in {PAUSE_SECONDS:.0f} s")
            self._ended.wait(PAUSE_SECONDS)


def add_burst(url: str) -> int:
    """Adds one burst in one transaction, with the tenants that are missing; the number of its jobs."""
    with connect(url, prepare_threshold=None) as connection:
        return len(enqueue_many(connection, list(_jobs(connection))))


def _jobs(connection: psycopg.Connection[Any]) -> Iterator[NewJob]:
    """The loud tenant's are first, so that fairness shows."""
    loud = tenant_of(connection, LOUD, makes_unknown=True)
    for number in range(LOUD_MAILS):
        yield NewJob(type="mail.send", tenant_id=loud, payload={"to": f"reader-{number}@example.com"})
    for name in QUIET:
        tenant = tenant_of(connection, name, makes_unknown=True)
        for number in range(MAILS):
            yield NewJob(type="mail.send", tenant_id=tenant, payload={"to": f"customer-{number}@example.com"})
        for number in range(REPORTS):
            yield NewJob(type="report.build", tenant_id=tenant, payload={"month": f"2026-{number + 1:02}"})
    yield NewJob(type="mail.send", tenant_id=loud, payload={"to": "no address"})  # fails, and the screen says why
