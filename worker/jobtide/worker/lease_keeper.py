"""Extends leases while a handler holds the interpreter.

A C call that does not release the GIL (a regular expression that backtracks, a sort of millions) stops every thread
of the process, also the one that extends leases. So a second process, forked before any thread starts and with a GIL
of its own, watches the finisher's pulse. While the pulse beats, the second process sleeps, without a connection. When
the pulse stops, it checks whether the worker is busy or dead. A worker that uses processor time is busy: the keeper
extends its leases and answers its probes. One that uses none gets neither, so its leases expire and other workers get
its jobs.
"""

from __future__ import annotations

import gc
import mmap
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from time import monotonic
from typing import Protocol
from uuid import UUID

from jobtide.queue.outage import Outage
from jobtide.queue.session import DatabaseUnreachable
from jobtide.telemetry.events import Emit, LeasesKept

_CHECK_SECONDS = 1.0
_BUSY_SHARE = 0.05  # of one processor; threads that only wait for the GIL use up to a fifth of that
_SECONDS = struct.Struct("d")
_REQUEST_SECONDS = 1.0
_REQUEST_BYTES = 4_096
_BODY = b"a handler holds the interpreter\n"


class Pulse:
    """When the finisher began its last pass (time.monotonic()), in memory that both processes share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SECONDS.size)

    def beat(self, now: float) -> None:
        _SECONDS.pack_into(self._memory, 0, now)

    @property
    def last(self) -> float:
        """0.0 before the first beat."""
        (seconds,) = _SECONDS.unpack_from(self._memory)
        return float(seconds)


class PodLeases(Protocol):
    """What the keeper needs of a queue. May raise DatabaseUnreachable."""

    def extend_own_pod(self) -> set[UUID]: ...
    def close(self) -> None: ...


class LeaseKeeper:
    """`run_once` checks the worker once. Times are time.monotonic(), in seconds."""

    def __init__(
        self,
        queue: PodLeases,
        pulse: Pulse,
        *,
        lease_seconds: float,
        cpu_seconds: Callable[[], float],
        emit: Emit,
    ) -> None:
        self._queue = queue
        self._pulse = pulse
        self._third_seconds = lease_seconds / 3
        self.check_seconds = min(_CHECK_SECONDS, lease_seconds / 12)  # notices a silent third in time
        self._cpu_seconds = cpu_seconds
        self._emit = emit
        self._seen = (0.0, 0.0)  # the time of the last check, and the processor time used until then
        self._extend_at = 0.0
        self._outage = Outage("extend leases of a worker whose interpreter is held", emit)

    def run_once(self, now: float) -> bool:
        """Extends leases that are due. True if the worker is busy but silent: the keeper must answer its probes."""
        (seen_at, used), self._seen = self._seen, (now, self._cpu_seconds())
        if not 0 < self._pulse.last < now - self._third_seconds:
            self._extend_at = 0.0
            self._outage.abandon()
            self._queue.close()
            return False
        busy = self._seen[1] - used >= _BUSY_SHARE * (now - seen_at)
        if busy and now >= self._extend_at and not self._outage.wait_seconds(now):
            self._extend(now)
        return busy

    def _extend(self, now: float) -> None:
        try:
            kept = self._queue.extend_own_pod()
        except DatabaseUnreachable as error:
            self._outage.failed(error, now)
            return
        self._outage.succeeded()
        self._extend_at = now + self._third_seconds
        if kept:
            self._emit(LeasesKept(len(kept), now - self._pulse.last))


def fork_keeper(make: Callable[[Callable[[], float]], LeaseKeeper], listener: socket.socket | None) -> None:
    """Forks the keeper of this process; `make` builds it in the fork. Call it while there is only one thread.

    A fork shares the memory of all modules imported so far: it costs a few megabytes, a separate program forty.
    """
    worker = os.getpid()
    ours, theirs = os.pipe()
    gc.freeze()
    if os.fork():
        os.close(theirs)
        return  # `ours` stays open as long as this process lives
    try:
        os.close(ours)
        # Ctrl-C reaches the whole process group: the drain needs its leases too.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _keep(make(lambda: _cpu_seconds_of(worker)), worker, theirs, listener)
    finally:
        os._exit(0)


def _keep(keeper: LeaseKeeper, worker: int, lifeline: int, listener: socket.socket | None) -> None:
    """Until the worker ends: then its end of the pipe closes, unless a handler's child process has inherited it."""
    watched: list[int | socket.socket] = [lifeline]
    while True:
        ready, _, _ = select.select(watched, [], [], keeper.check_seconds)
        if lifeline in ready or os.getppid() != worker:
            return
        if listener is not None and listener in ready:
            _answer_probe(listener)
            continue
        busy = keeper.run_once(monotonic())
        watched = [lifeline, listener] if busy and listener is not None else [lifeline]


def _cpu_seconds_of(process: int) -> float:
    # As clock_getcpuclockid(3) does: the inverted process ID, shifted over CPUCLOCK_SCHED.
    return time.clock_gettime((~process << 3) | 2)


def _answer_probe(listener: socket.socket) -> None:
    """Answers one waiting request: alive and ready, since a scale-down removes pods that are not ready first.

    The socket does not block: the worker itself may have accepted the request.
    """
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_REQUEST_SECONDS)
            is_probe = connection.recv(_REQUEST_BYTES).startswith((b"GET /livez", b"GET /readyz"))
            status = b"200 OK" if is_probe else b"503 Service Unavailable"
            head = b"HTTP/1.0 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (status, len(_BODY))
            connection.sendall(head + _BODY)
    except OSError:  # the probe has closed its connection, or the worker itself has accepted it
        return
