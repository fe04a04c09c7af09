"""Composition root of the worker: builds a running process from settings."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from jobtide.commands.first_process import leave_first_process
from jobtide.commands.loading import choose_types, load_tide
from jobtide.commands.settings import Settings
from jobtide.programs.child import Children
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.promised import PromisedQueue
from jobtide.queue.rest import Rest
from jobtide.queue.ring import Ring
from jobtide.queue.session import Connection, Session, url_source
from jobtide.queue.urgency import grouped
from jobtide.telemetry import events, logs
from jobtide.telemetry.events import Emit, to_all
from jobtide.telemetry.metrics import Metrics
from jobtide.tide import Tide
from jobtide.worker.finisher import Finisher
from jobtide.worker.fork import handle_signals
from jobtide.worker.in_flight import InFlight
from jobtide.worker.lease_keeper import LeaseKeeper, Pulse, fork_keeper
from jobtide.worker.loop import Worker
from jobtide.worker.mailbox import Mailbox
from jobtide.worker.runner import Runner
from jobtide.worker.table_check import TableCheck

_CLAIM_ANSWER_SECONDS = 30.0  # a claim without the index takes 2.5 s of a million rows
_REST_SECONDS = 1.0  # the longest wait between two polls of an empty queue, where an INSERT wakes the worker
_POLL_SECONDS = 0.15  # where it does not: behind a pooler, or without the trigger
_MOST_REPORTED = 1_000  # rows that a rescue can't change, each logged once


def run_worker(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; the exit code. Raises JobtideError for errors that waiting can't fix."""
    leave_first_process()
    sys.path.insert(0, "")  # as `python -m` does: the working directory holds the application
    logs.configure(settings.log_level, pool=settings.pool, pod=settings.pod_name)
    listener = _listen(settings)
    pulse = _start_keeper(settings, listener)
    tide = _tide(settings)
    types = choose_types(tide, settings.types)
    metrics = Metrics()
    emit = to_all(metrics.on_event, logs.on_event)
    worker, in_flight = _build(settings, tide, types, pulse, emit)
    handle_signals(worker.stop)
    if listener is not None:
        _serve_status(listener, worker, metrics, in_flight)
    _start_scheduler(settings, tide, types, emit)
    if settings.listen:
        emit(events.ListenNotNeeded())
    emit(events.Started(settings.app or "programs", types, settings.concurrency, settings.pod_uid))
    return worker.run()


def _tide(settings: Settings) -> Tide:
    tide = load_tide(settings.app) if settings.app else Tide()
    if settings.programs:
        from jobtide.programs.handler import add_programs

        add_programs(tide, settings.programs, max_output_bytes=settings.max_result_bytes)
    return tide


def _listen(settings: Settings) -> socket.socket | None:
    if not settings.http_port:
        return None
    from jobtide.telemetry.status_server import listen

    return listen(settings.http_port, settings.http_host)


def _start_keeper(settings: Settings, listener: socket.socket | None) -> Pulse:
    """Before the application is imported: it may start threads, and a fork would lose them."""
    pulse = Pulse()

    def make(cpu_seconds: Callable[[], float]) -> LeaseKeeper:
        return LeaseKeeper(
            _queue(settings, _claim_session(settings)),
            pulse,
            lease_seconds=settings.lease_seconds,
            cpu_seconds=cpu_seconds,
            emit=logs.on_event,
        )

    if sys.platform == "linux":  # elsewhere a fork is unsafe, or the processor time of another process can't be read
        fork_keeper(make, listener)
    return pulse


def _build(settings: Settings, tide: Tide, types: tuple[str, ...], pulse: Pulse, emit: Emit) -> tuple[Worker, InFlight]:
    in_flight = InFlight(settings.lease_seconds)
    mailbox = Mailbox()
    session = _claim_session(settings, TableCheck(emit))
    finisher = Finisher(_finisher_queue(settings, pulse, emit), in_flight, emit, beat=pulse.beat)
    runner = Runner(
        tide.handlers,
        in_flight,
        settings.retry,
        threads=settings.concurrency,
        max_result_bytes=settings.max_result_bytes,
        write=finisher.put,
        free=partial(mailbox.put, "freed"),
        emit=emit,
        processes=_processes(settings),
        error_detail=settings.error_detail,
    )
    queue = _claim_queue(settings, session, types)
    rest = Rest(session, types, changed=queue.limits.expire)
    queue.limits.hears = lambda: rest.listens
    queue.limits.denied = lambda: emit(events.LimitsDenied())
    worker = Worker(
        queue=queue,
        rest=rest,
        rest_seconds=settings.poll_seconds or _REST_SECONDS,
        finisher=finisher,
        in_flight=in_flight,
        runner=runner,
        # Random, so that the workers of a fleet do not all start at the same tenant.
        ring=Ring(types, random.randrange(len(types)), random.getrandbits(128)),  # noqa: S311
        mailbox=mailbox,
        slots=settings.concurrency + settings.prefetch,
        poll_seconds=settings.poll_seconds or _POLL_SECONDS,
        polls_at_each_end=lambda: bool(queue.limits.kinds),
        drain_seconds=settings.drain_seconds,
        emit=emit,
    )
    return worker, in_flight


def _processes(settings: Settings) -> Children | None:
    if not settings.app:
        return None
    return Children(
        settings.app,
        max_result_bytes=settings.max_result_bytes,
        log_level=settings.log_level,
        pool=settings.pool,
        pod=settings.pod_name,
    )


def _claim_session(settings: Settings, on_connect: Callable[[Connection], None] | None = None) -> Session:
    url = url_source(settings.database_url, settings.database_url_file)
    return Session(url, on_connect, answer_seconds=_CLAIM_ANSWER_SECONDS)


def _queue(settings: Settings, session: Session) -> PostgresJobQueue:
    return PostgresJobQueue(session, **_queue_options(settings))


def _claim_queue(settings: Settings, session: Session, types: tuple[str, ...]) -> PostgresJobQueue:
    """With promises that differ, the one that claims the most urgent types first."""
    if not settings.promises or len(grouped(types, settings.promises)) == 1:
        return _queue(settings, session)
    return PromisedQueue(session, types=types, promises=settings.promises, **_queue_options(settings))


def _queue_options(settings: Settings) -> dict[str, Any]:
    return {
        "pod_uid": settings.pod_uid,
        "lease_seconds": settings.lease_seconds,
        "caps": settings.caps,
        "pool": settings.pool,
        "max_payload_bytes": settings.max_payload_bytes,
    }


def _finisher_queue(settings: Settings, pulse: Pulse, emit: Emit) -> PostgresJobQueue:
    """Its statements have a deadline that leaves time to extend leases on another connection."""
    session = Session(
        url_source(settings.database_url, settings.database_url_file),
        answer_seconds=max(2.0, min(10.0, settings.lease_seconds / 3)),
        waiting=pulse.beat,
    )
    reported: set[UUID] = set()

    def refused(id_: UUID, message: str) -> None:
        if id_ not in reported and len(reported) < _MOST_REPORTED:
            reported.add(id_)
            emit(events.RowLeft(str(id_), "rescue", message))

    return PostgresJobQueue(session, pod_uid=settings.pod_uid, lease_seconds=settings.lease_seconds, refused=refused)


def _start_scheduler(settings: Settings, tide: Tide, types: tuple[str, ...], emit: Emit) -> None:
    schedules = [schedule for schedule in tide.schedules if schedule.type in types]
    if not schedules:
        return
    from jobtide.cron.scheduler import Scheduler

    Scheduler(schedules, Session(url_source(settings.database_url, settings.database_url_file)), emit).start()


def _serve_status(listener: socket.socket, worker: Worker, metrics: Metrics, in_flight: InFlight) -> None:
    from jobtide.telemetry.status_server import StatusServer, worker_answers

    def render() -> str:
        metrics.running = len(in_flight)
        metrics.unwritten, metrics.unwritten_seconds = worker.unwritten
        return metrics.render()

    StatusServer(listener, worker_answers(worker.health, render)).start()
