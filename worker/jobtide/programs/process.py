"""One child process with a payload to read: fed, listened to, logged, and ended with everything it started."""

from __future__ import annotations

import atexit
import logging
import os
import selectors
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic

from jobtide.context import Context

_TERM_GRACE_SECONDS = 1.5  # less than a draining worker waits for cancelled handlers before it exits itself
_LOOK_SECONDS = 0.2  # how late a cancellation may be noticed
_READ_BYTES = 65_536
_TAIL_BYTES = 16_384
_DRAIN_SECONDS = 1.0  # for what is still in its pipes
_LOG_LINE_BYTES = 4_096

_log = logging.getLogger("jobtide.exec")
_live_groups: set[int] = set()


@dataclass(frozen=True, slots=True)
class Ended:
    """`exit_code` is negative for a signal, as in subprocess."""

    exit_code: int
    stdout: bytes
    stderr_tail: str
    output_too_long: bool


def run_process(
    command: Sequence[str], *, stdin: bytes, environment: Mapping[str, str], ctx: Context, max_output_bytes: int
) -> Ended:
    """Runs until the program ends. Once `ctx` is cancelled its process group gets SIGTERM, 1.5 s later SIGKILL."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        bufsize=0,
        start_new_session=True,  # a process group of its own, and no Ctrl-C from the worker's terminal
    ) as process:
        _live_groups.add(process.pid)
        run = _Run(process, memoryview(stdin), ctx, max_output_bytes)
        try:
            run.until_ended()
        finally:
            signal_group(process.pid, signal.SIGKILL)  # not reaped yet: the number still means this group
            _live_groups.discard(process.pid)
    return Ended(process.returncode, bytes(run.stdout), run.stderr_tail(), run.output_too_long)


@dataclass(slots=True)
class _Run:
    process: subprocess.Popen[bytes]
    unread: memoryview  # what the program has not read yet
    ctx: Context
    max_output_bytes: int
    stdout: bytearray = field(default_factory=bytearray)
    output_too_long: bool = False
    _tail: bytearray = field(default_factory=bytearray)
    _line: bytearray = field(default_factory=bytearray)
    _kill_at: float | None = None

    def until_ended(self) -> None:
        with selectors.DefaultSelector() as selector, _exit_notice(self.process.pid, selector):
            self._listen(selector)
            while not self._has_exited():
                self._turn(selector, _LOOK_SECONDS)
                if self.ctx.cancelled or self.output_too_long:
                    self._end(monotonic())
            signal_group(self.process.pid, signal.SIGKILL)  # what it left behind, which may hold its pipes open
            drained_at = monotonic() + _DRAIN_SECONDS
            while self._turn(selector, 0) and monotonic() < drained_at:
                pass
        self._log_line()

    def stderr_tail(self) -> str:
        return self._tail.decode(errors="replace")

    def _listen(self, selector: selectors.BaseSelector) -> None:
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        os.set_blocking(stdin.fileno(), False)
        selector.register(stdin, selectors.EVENT_WRITE, self._feed)
        selector.register(stdout, selectors.EVENT_READ, self._hear)
        selector.register(stderr, selectors.EVENT_READ, self._hear_complaint)

    @staticmethod
    def _turn(selector: selectors.BaseSelector, wait_seconds: float) -> bool:
        """Serves the pipes that are ready; whether any was."""
        ready = [key for key, _ in selector.select(wait_seconds) if key.data is not None]
        for key in ready:
            if not key.data(key.fd):
                selector.unregister(key.fileobj)
        return bool(ready)

    def _feed(self, pipe: int) -> bool:
        """Whether there is more to write."""
        try:
            self.unread = self.unread[os.write(pipe, self.unread) :]
        except BrokenPipeError:  # it does not want to read; its exit code will tell
            self.unread = self.unread[:0]
        if not self.unread and self.process.stdin is not None:
            self.process.stdin.close()
        return bool(self.unread)

    def _hear(self, pipe: int) -> bool:
        """Whether there may be more to read."""
        heard = os.read(pipe, _READ_BYTES)
        self.stdout += heard
        self.output_too_long = len(self.stdout) > self.max_output_bytes
        return bool(heard) and not self.output_too_long

    def _hear_complaint(self, pipe: int) -> bool:
        heard = os.read(pipe, _READ_BYTES)
        self._tail = (self._tail + heard)[-_TAIL_BYTES:]
        for part in heard.splitlines(keepends=True):
            self._line += part
            if part.endswith(b"\n") or len(self._line) >= _LOG_LINE_BYTES:
                self._log_line()
        return bool(heard)

    def _log_line(self) -> None:
        line = self._line[:_LOG_LINE_BYTES].decode(errors="replace").strip()
        self._line.clear()
        if line:
            job = self.ctx.job
            _log.info(line, extra={"job": str(job.id), "type": job.type, "tenant": str(job.tenant_id)})

    def _has_exited(self) -> bool:
        """Without reaping: until then the number can't become another process's."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _end(self, now: float) -> None:
        if self._kill_at is None:
            self._kill_at = now + _TERM_GRACE_SECONDS
            signal_group(self.process.pid, signal.SIGTERM)
        elif now >= self._kill_at:
            signal_group(self.process.pid, signal.SIGKILL)


@contextmanager
def _exit_notice(pid: int, selector: selectors.BaseSelector) -> Iterator[None]:
    """Ends a wait at once when the process exits, where the system can; else it is seen after _LOOK_SECONDS."""
    try:
        notice = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield
        return
    try:
        selector.register(notice, selectors.EVENT_READ)
        yield
    finally:
        os.close(notice)


def signal_group(pid: int, number: signal.Signals) -> None:
    # PermissionError: everything in the group has exited already (macOS says it so).
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _kill_all() -> None:
    """A worker that exits while programs run (its drain time is over) takes them along."""
    for pid in list(_live_groups):
        signal_group(pid, signal.SIGKILL)


atexit.register(_kill_all)
