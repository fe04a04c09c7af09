"""A process of its own for handlers of the application, on the worker's side.

The process imports the application once, then runs one job after the other, until it is recycled or has to be killed.
commands/child.py is what runs in it.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from jobtide.context import Context
from jobtide.errors import Fail, ProcessDied, ProcessNotReady, Retry, Snooze
from jobtide.job import Json
from jobtide.payload import Malformed
from jobtide.programs import process
from jobtide.programs.channel import Channel, Message
from jobtide.tide import Handler

_READY_SECONDS = 300.0  # to import the application
_SEND_SECONDS = 60  # for a process that does not read: it is stopped, or hangs
_OOM_EVENTS = Path("/sys/fs/cgroup/memory.events")


class RaisedThere(Exception):  # noqa: N818 - it takes the name of the error that was raised
    """What the handler raised in its process. The type's name is that of the error; `trace` is its traceback."""

    trace: str | None = None


class Children:
    """The idle processes of a worker. Thread-safe: a process belongs to one thread while it runs a job."""

    def __init__(self, app: str, **settings: Any) -> None:
        self._settings = {"app": app, "argv": sys.argv, "path": sys.path, **settings}
        self._idle: dict[int | None, deque[Child]] = {}  # by their memory limit

    @contextmanager
    def child(self, handler: Handler) -> Iterator[Child]:
        """A process that is ready to run a job of this handler. Raises ProcessNotReady.

        A process that ran a job of a handler without `process=True` ends with the job.
        """
        idle = self._idle.setdefault(handler.memory_bytes, deque())
        child = _taken(idle) or Child(self._settings | {"memory_bytes": handler.memory_bytes})
        try:
            yield child
        finally:
            spent = handler.recycle_after is not None and child.jobs >= handler.recycle_after
            if child.reusable and handler.process and not spent:
                idle.append(child)
            else:
                child.end()


class Child:
    """One process. Raises ProcessNotReady if it can't start."""

    def __init__(self, settings: Message) -> None:
        self.jobs = 0
        self.reusable = False  # it has run a job to its end, and none was cancelled
        self._kills_before = 0
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
        with theirs:
            command = [sys.executable, "-m", "jobtide.commands.child", str(theirs.fileno())]
            try:
                self._process = process.start(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
            except OSError as refused:  # no memory, or too many processes
                ours.close()
                raise ProcessNotReady(f"no process for this job could be started: {refused.strerror}") from None
        self._channel = Channel(ours)
        try:
            self._begin(settings)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, ctx: Context) -> Json:
        """Runs the context's job. Raises what its handler raised, or ProcessDied.

        Once the context is cancelled, the handler's is too; 1.5 s later the process is killed.
        """
        job = ctx.job
        if isinstance(job.payload, Malformed):
            raise Fail(f"payload can't be read: {job.payload.why}")
        self.jobs += 1
        self.reusable = False
        self._kills_before = _oom_kills()
        sent = self._send({
            "job": [str(job.id), str(job.tenant_id), job.type, job.payload, job.attempt, job.token],
            "waited_seconds": job.waited_seconds,
            "result": None if isinstance(job.result, Malformed) else job.result,
            "deadline": ctx.deadline,
        })  # fmt: skip
        answer = self._answer(ctx) if sent else None
        if answer is None:
            raise self._died()
        self.reusable = not ctx.cancelled and answer.get("type") != "MemoryError"
        if "returned" in answer:
            return json.loads(answer["returned"])
        raise _error_of(answer)

    def end(self) -> None:
        """Lets an idle process exit, kills one that doesn't, and all that it left running."""
        self._channel.close()
        if self.reusable:
            _wait_without_reaping(self.pid, process.TERM_GRACE_SECONDS)
        if self._process.returncode is None:
            process.kill_group(self._process)
            self._process.wait()

    def _begin(self, settings: Message) -> None:
        answer = self._answer(until=monotonic() + _READY_SECONDS) if self._send(settings) else None
        if answer is None:
            why = self._described() if process.has_exited(self.pid) else f"not within {_READY_SECONDS:g} s"
            raise ProcessNotReady(f"the process for this job could not import the application: {why} (see the log)")
        self.reusable = True

    def _send(self, message: Message) -> bool:
        """False if the process has died, or does not read."""
        try:
            self._channel.send(message)
        except OSError:
            return False
        return True

    def _answer(self, ctx: Context | None = None, until: float | None = None) -> Message | None:
        """The next message that is no progress; None once the process has exited or had to be killed."""
        kill_at = until
        asked_to_stop = False
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            while True:
                exited = process.has_exited(self.pid)  # before the last look at what it sent
                if self._channel.has_read_ahead or selector.select(0 if exited else process.CHECK_SECONDS):
                    message = self._received()
                    if message is None or (exited and not message):
                        return None
                    if "progress" in message and ctx is not None:
                        ctx.reported = message["progress"]
                    elif message:
                        return message
                elif exited:
                    return None
                if ctx is not None and ctx.cancelled and not asked_to_stop:
                    asked_to_stop = True
                    kill_at = monotonic() + process.TERM_GRACE_SECONDS
                    self._send({"cancel": ctx.cancelled_by})
                if kill_at is not None and monotonic() >= kill_at:
                    return None

    def _received(self) -> Message | None:
        """The next message; empty if only a part of one has arrived; None if the process has closed the socket."""
        try:
            return self._channel.receive(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return {}
        except OSError:
            return None

    def _died(self) -> ProcessDied | ProcessNotReady:
        if self._was_out_of_memory():
            return ProcessNotReady("the container had no memory left for a process beside the worker's")
        return ProcessDied(f"the process that ran this job ended before its handler did: {self._described()}")

    def _described(self) -> str:
        process.kill_group(self._process)
        return process.ending(self._process.wait())

    def _was_out_of_memory(self) -> bool:
        return _oom_kills() > self._kills_before


def _taken(idle: deque[Child]) -> Child | None:
    """An idle process that still lives."""
    with suppress(IndexError):
        while process.has_exited((child := idle.pop()).pid):
            child.end()
        return child
    return None


def _wait_without_reaping(pid: int, seconds: float) -> None:
    until = monotonic() + seconds
    with suppress(AttributeError, OSError), selectors.DefaultSelector() as selector:
        notice = os.pidfd_open(pid)
        try:
            selector.register(notice, selectors.EVENT_READ)
            selector.select(max(0.0, until - monotonic()))
        finally:
            os.close(notice)


def _error_of(answer: Message) -> Any:
    """The error under its own name, so that it is stored and logged as if it had been raised here."""
    name, message, after = answer["type"], answer["message"], answer["after"]
    match answer["raised"]:
        case "snooze":
            return _named(name, Snooze)(after, message)
        case "retry":
            return _named(name, Retry)(message, after=after)
        case "fail":
            return _named(name, Fail)(message)
        case _:
            error = _named(name, RaisedThere)(message)
            error.trace = answer["trace"]
            return error


def _named(name: str, base: type[Any]) -> Any:
    return type(name, (base,), {})


def _oom_kills() -> int:
    """How many processes of this container the kernel has killed for want of memory; 0 where it can't be read."""
    try:
        events = dict(line.split() for line in _OOM_EVENTS.read_text(encoding="ascii").splitlines())
        return int(events.get("oom_kill", 0))
    except (OSError, ValueError):
        return 0
