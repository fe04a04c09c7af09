"""One worker as a child process, and the guard that ends all of them when this process is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
PROBE_SECONDS = 2.0
LONGEST_LINE = 1 << 20  # bytes; a longer one is passed on in parts
_CHUNK = 1 << 16

# Reads lines of process groups, each replacing the one before, and ends the last ones when its input ends. At a second
# SIGTERM a worker returns its jobs at once and ends its programs; two that come together count as one. SIGKILL is for
# what is left.
_GUARD = """
while read -r line; do groups=$line; done
[ -n "$groups" ] || exit 0
for again in 1 2 3 4 5 6; do
    for group in $groups; do kill -s TERM "$group" && left=yes; done
    [ -n "$left" ] || break
    left=
    sleep 0.5
done
for group in $groups; do kill -s KILL -- "-$group"; done
"""


class NotStartedError(Exception):
    """No process was started; the message says why."""


class Process:
    """A child that leads a session and process group of its own: Ctrl-C in the terminal does not reach it."""

    def __init__(self, child: asyncio.subprocess.Process, output: asyncio.StreamReader) -> None:
        self.pid = child.pid
        self._child = child
        self._output = output

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> Process:
        """Starts the command, with one pipe for its output and errors. Raises NotStartedError."""
        # Not the pipe of asyncio, whose wait() lasts until the last process that has inherited it ends.
        ours, theirs = os.pipe()
        try:
            output = await _reader(ours)
            child = await asyncio.create_subprocess_exec(
                *command,
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        except OSError as error:
            raise NotStartedError(str(error)) from error
        finally:
            os.close(theirs)
        return cls(child, output)

    def terminate(self) -> None:
        """Asks the worker to drain; the second time, to return its jobs and end at once, with its programs."""
        with contextlib.suppress(ProcessLookupError):
            self._child.terminate()

    def kill(self) -> None:
        """Ends the worker and all processes of its group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses a group of zombies
            os.killpg(self.pid, signal.SIGKILL)

    async def lines(self) -> AsyncIterator[str]:
        """What the process prints, until it and all that inherited its output have ended."""
        rest = b""
        while chunk := await self._output.read(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
            if len(rest) > LONGEST_LINE:
                yield rest.decode(errors="replace")
                rest = b""
        if rest:
            yield rest.decode(errors="replace")

    async def wait(self) -> int:
        """The exit code, negative for a signal; ends what the process left in its group."""
        code = await self._child.wait()
        self.kill()
        return code


class Guard:
    """Ends the given process groups when this process ends without `close()`, also by SIGKILL."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            ["sh", "-c", _GUARD], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def watch(self, groups: Iterable[int]) -> None:
        """From now on these groups, instead of those of the last call."""
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a user ended it
            self._child.stdin.write(f"{' '.join(map(str, groups))}\n".encode())
            self._child.stdin.flush()

    def close(self) -> None:
        self.watch(())
        self._child.communicate()


async def _reader(descriptor: int) -> asyncio.StreamReader:
    """Of a pipe, which it closes at its end."""
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


def free_port() -> int:
    """A port of the loopback address that no process listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


async def is_ready(port: int) -> bool:
    """Whether the worker with this port answers GET /readyz with 200."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in answer.partition(b"\r\n")[0]
