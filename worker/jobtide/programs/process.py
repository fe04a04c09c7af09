"""Runs one child process: writes its stdin, reads its output, logs its stderr, and kills all that it started."""

from __future__ import annotations

import atexit
import logging
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from jobtide.context import Context

TERM_GRACE_SECONDS = 1.5  # less than a draining worker waits for cancelled handlers before it exits itself
CHECK_SECONDS = 0.2  # how late a cancellation may be noticed
_READ_BYTES = 65_536
_TAIL_BYTES = 16_384
_DRAIN_SECONDS = 1.0  # to read what is still in its pipes
_LOG_LINE_BYTES = 4_096

_log = logging.getLogger("jobtide.exec")
_starting = threading.Lock()  # no program starts unseen by `_kill_all`, nor after it
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
    with start(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        run = _Run(process, memoryview(stdin), ctx, max_output_bytes)
        try:
            run.until_ended()
        finally:
            kill_group(process)
    return Ended(process.returncode, bytes(run.stdout), run.stderr_tail(), run.output_too_long)


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Starts a process in a group of its own, which Ctrl-C in the worker's terminal does not reach."""
    with _starting:
        process = subprocess.Popen(command, start_new_session=True, **options)
        _live_groups.add(process.pid)
    with suppress(OSError):  # Linux only: of all processes in the container the kernel kills this one first
        Path(f"/proc/{process.pid}/oom_score_adj").write_text("1000", encoding="ascii")
    return process


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kills all that is left of the group. Not reaped yet: the process ID still means this group."""
    signal_group(process.pid, signal.SIGKILL)
    _live_groups.discard(process.pid)


def has_exited(pid: int) -> bool:
    """Without reaping: until then no other process can get this process ID."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def ending(code: int) -> str:
    """The exit code in words; negative for a signal, as in subprocess."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    return f"killed by {name}"


def _forget_groups() -> None:
    """In a fork of the worker: these processes are not its children, so its end must not kill them."""
    atexit.unregister(_kill_all)
    _live_groups.clear()


@dataclass(slots=True)
class _Run:
    process: subprocess.Popen[bytes]
    unread: memoryview  # of stdin: what the program has not read yet
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
            while not has_exited(self.process.pid):
                self._serve(selector, CHECK_SECONDS)
                if self.ctx.cancelled or self.output_too_long:
                    self._end(monotonic())
            signal_group(self.process.pid, signal.SIGKILL)  # its children, which may hold its pipes open
            drained_at = monotonic() + _DRAIN_SECONDS
            while self._serve(selector, 0) and monotonic() < drained_at:
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
        selector.register(stdout, selectors.EVENT_READ, self._read_stdout)
        selector.register(stderr, selectors.EVENT_READ, self._read_stderr)

    @staticmethod
    def _serve(selector: selectors.BaseSelector, wait_seconds: float) -> bool:
        """Reads and writes the pipes that are ready. True if any was."""
        ready = [key for key, _ in selector.select(wait_seconds) if key.data is not None]
        for key in ready:
            if not key.data(key.fd):
                selector.unregister(key.fileobj)
        return bool(ready)

    def _feed(self, pipe: int) -> bool:
        """True if there is more to write."""
        try:
            self.unread = self.unread[os.write(pipe, self.unread) :]
        except BrokenPipeError:  # it does not read its stdin; its exit code decides
            self.unread = self.unread[:0]
        if not self.unread and self.process.stdin is not None:
            self.process.stdin.close()
        return bool(self.unread)

    def _read_stdout(self, pipe: int) -> bool:
        """True if there may be more to read."""
        chunk = os.read(pipe, _READ_BYTES)
        self.stdout += chunk
        self.output_too_long = len(self.stdout) > self.max_output_bytes
        return bool(chunk) and not self.output_too_long

    def _read_stderr(self, pipe: int) -> bool:
        """As _read_stdout; each line is logged."""
        chunk = os.read(pipe, _READ_BYTES)
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        for part in chunk.splitlines(keepends=True):
            self._line += part
            if part.endswith(b"\n") or len(self._line) >= _LOG_LINE_BYTES:
                self._log_line()
        return bool(chunk)

    def _log_line(self) -> None:
        line = self._line[:_LOG_LINE_BYTES].decode(errors="replace").strip()
        self._line.clear()
        if line:
            job = self.ctx.job
            _log.info(line, extra={"job": str(job.id), "type": job.type, "tenant": str(job.tenant_id)})

    def _end(self, now: float) -> None:
        if self._kill_at is None:
            self._kill_at = now + TERM_GRACE_SECONDS
            signal_group(self.process.pid, signal.SIGTERM)
        elif now >= self._kill_at:
            signal_group(self.process.pid, signal.SIGKILL)


@contextmanager
def _exit_notice(pid: int, selector: selectors.BaseSelector) -> Iterator[None]:
    """Wakes the selector when the process exits, on systems that can; on others CHECK_SECONDS later."""
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
    """Sends a signal to all processes of the group; does nothing if none is left."""
    # PermissionError: all processes of the group have exited already (on macOS).
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _kill_all() -> None:
    """A worker that exits while programs run (its drain time is over) kills them, and starts no more."""
    _starting.acquire()  # never released: the process ends
    for pid in list(_live_groups):
        signal_group(pid, signal.SIGKILL)


atexit.register(_kill_all)
os.register_at_fork(after_in_child=_forget_groups)
