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
from collections.abc import Callable, Collection
from contextlib import suppress
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
_CONNECTIONS_MAX = 32  # as many as the worker itself has
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


class _Probes:
    """Answers the worker's probes in its place, without ever waiting for a client: leases are extended beside it."""

    def __init__(self, listener: socket.socket | None) -> None:
        self._listener = listener
        self._open: dict[socket.socket, float] = {}  # oldest first, by when they were accepted

    @property
    def sockets(self) -> list[socket.socket]:
        """Those to watch."""
        return [] if self._listener is None else [self._listener, *self._open]

    def answer(self, ready: Collection[int | socket.socket], now: float) -> None:
        """Answers what has arrived, accepts what waits, and closes connections that ask for nothing."""
        for connection in [one for one in self._open if one in ready]:
            del self._open[connection]
            _answer(connection)
        if self._listener is not None and self._listener in ready:
            self._accept(self._listener, now)
        for connection in [one for one, since in self._open.items() if since < now - _REQUEST_SECONDS]:
            self._close(connection)

    def close(self) -> None:
        """The worker answers for itself again."""
        for connection in list(self._open):
            self._close(connection)

    def _accept(self, listener: socket.socket, now: float) -> None:
        """The socket does not block: the worker itself may have accepted the request."""
        with suppress(OSError):
            connection, _ = listener.accept()
            connection.setblocking(False)  # noqa: FBT003 - as the standard library has it
            if len(self._open) >= _CONNECTIONS_MAX:
                self._close(next(iter(self._open)))
            self._open[connection] = now

    def _close(self, connection: socket.socket) -> None:
        del self._open[connection]
        connection.close()


def _keep(keeper: LeaseKeeper, worker: int, lifeline: int, listener: socket.socket | None) -> None:
    """Until the worker ends: then its end of the pipe closes, unless a handler's child process has inherited it."""
    probes, busy, check_at = _Probes(listener), False, monotonic() + keeper.check_seconds
    while True:
        watched: list[int | socket.socket] = [lifeline, *(probes.sockets if busy else ())]
        ready, _, _ = select.select(watched, [], [], max(0.0, check_at - monotonic()))
        if lifeline in ready or os.getppid() != worker:
            return
        if busy:
            probes.answer(ready, monotonic())
        if monotonic() < check_at:
            continue
        busy = keeper.run_once(monotonic())
        check_at = monotonic() + keeper.check_seconds
        if not busy:
            probes.close()


def _cpu_seconds_of(process: int) -> float:
    # As clock_getcpuclockid(3) does: the inverted process ID, shifted over CPUCLOCK_SCHED.
    return time.clock_gettime((~process << 3) | 2)


def _answer(connection: socket.socket) -> None:
    """Alive and ready, since a scale-down removes pods that are not ready first."""
    with connection, suppress(OSError):  # the probe has closed its connection
        is_probe = connection.recv(_REQUEST_BYTES).startswith((b"GET /livez", b"GET /readyz"))
        status = b"200 OK" if is_probe else b"503 Service Unavailable"
        head = b"HTTP/1.0 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (status, len(_BODY))
        connection.send(head + _BODY)
