"""What runs in a process of its own: imports the application, then runs the jobs that the worker sends.

Started as `python -m jobtide.commands.child FD` by programs/child.py; FD is the socket to the worker.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import traceback
from functools import partial
from queue import SimpleQueue
from typing import Any
from uuid import UUID

from jobtide.commands.loading import load_tide
from jobtide.context import Context
from jobtide.errors import Fail, Retry, Snooze
from jobtide.job import Job, Json
from jobtide.programs.channel import Channel, Message
from jobtide.telemetry import logs
from jobtide.tide import Handler, Tide
from jobtide.worker import outcome
from jobtide.worker.fork import exit_if_forked, notice_forks


class _ResultNotStorable(Fail):
    pass


class _Context(Context):
    """Progress goes to the worker, which stores it with the next extension of the lease."""

    def __init__(self, job: Job, channel: Channel) -> None:
        super().__init__(job)
        self._channel = channel

    def progress(self, fraction: float, note: str = "") -> None:
        super().progress(fraction, note)
        self._channel.send({"progress": self.reported})


class _Child:
    def __init__(self, channel: Channel, tide: Tide, max_result_bytes: int) -> None:
        self._channel = channel
        self._tide = tide
        self._max_result_bytes = max_result_bytes
        self._jobs: SimpleQueue[Context | None] = SimpleQueue()
        self._running: Context | None = None

    def run(self) -> None:
        """Until the worker closes the socket."""
        threading.Thread(target=self._listen, name="jobtide-worker", daemon=True).start()
        self._channel.send({"ready": True})
        while (context := self._jobs.get()) is not None:
            self._channel.send(self._answer(context))

    def _listen(self) -> None:
        while (message := _received(self._channel)) is not None:
            if "job" in message:
                context = _Context(_job(message), self._channel)
                context.deadline = message["deadline"]
                self._running = context
                self._jobs.put(context)
            elif self._running is not None:
                self._running.cancel(message["cancel"])
        if self._running is not None:  # the worker is gone, or wants this job to end
            os.killpg(0, signal.SIGKILL)
        self._jobs.put(None)

    def _answer(self, context: Context) -> Message:
        try:
            value = _call(self._tide.handlers[context.job.type], context)
            exit_if_forked()
            return {"returned": self._encoded(value)}
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything, SystemExit too
            exit_if_forked(error)
            return _raised(error)
        finally:
            self._running = None

    def _encoded(self, value: Json) -> str:
        try:
            return outcome.encode(value, self._max_result_bytes)
        except ValueError as unusable:
            raise _ResultNotStorable(str(unusable)) from None


def _call(handler: Handler, context: Context) -> Any:
    arguments = handler.arguments(context.job.payload, context)
    if not handler.is_async:
        return handler.function(*arguments)

    async def call() -> Any:
        task = asyncio.current_task()
        assert task is not None
        context.when_cancelled(partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel))
        return await handler.function(*arguments)

    return asyncio.run(call())


def _raised(error: BaseException) -> Message:
    kinds = {Snooze: "snooze", Retry: "retry", Fail: "fail"}
    kind = next((word for base, word in kinds.items() if isinstance(error, base)), "error")
    return {
        "raised": kind,
        "type": type(error).__name__.lstrip("_"),
        "message": str(error),
        "after": getattr(error, "after_seconds", None),
        "trace": "".join(traceback.format_exception(error)) if kind == "error" else None,
    }


def _job(message: Message) -> Job:
    id_, tenant_id, type_, payload, attempt, token = message["job"]
    return Job(UUID(id_), UUID(tenant_id), type_, payload, attempt, token, message["waited_seconds"], message["result"])


def _received(channel: Channel) -> Message | None:
    try:
        return channel.receive()
    except OSError:
        return None


def _limit_memory(limit: int | None) -> None:
    """Linux counts what the process has allocated; other systems its address space."""
    if limit is None:
        return
    import resource

    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    resource.setrlimit(kind, (limit, limit))


def main(descriptor: int) -> None:
    """Serves the worker at the other end of the socket."""
    channel = Channel(socket.socket(fileno=descriptor))
    settings = channel.receive()
    assert settings is not None
    _limit_memory(settings["memory_bytes"])
    sys.argv[:], sys.path[:] = settings["argv"], settings["path"]
    logs.configure(settings["log_level"], pool=settings["pool"], pod=settings["pod"])
    notice_forks()
    _Child(channel, load_tide(settings["app"]), settings["max_result_bytes"]).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
