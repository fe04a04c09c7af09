"""A connection from this process to a Service in any cluster: `kubectl port-forward`, restarted when it ends."""

from __future__ import annotations

import re
import subprocess
import threading
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import IO

from dev.machine.shell import CommandError, last_lines
from dev.stage.kubectl import Kubectl

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
_OPENS_WITHIN_SECONDS = 20.0

# Ends the program when its standard input is closed, which also happens when this process is killed.
_GUARDED = 'exec 3<&0; "$@" </dev/null & child=$!; (cat <&3; kill "$child") >/dev/null 2>&1 & wait "$child"'


@dataclass(slots=True)
class Tunnel:
    """If its kubectl has ended, `port()` starts another. Safe for several threads."""

    kubectl: Kubectl
    target: str  # service/pg
    remote_port: int
    namespace: str = "default"
    _process: subprocess.Popen[str] | None = field(init=False, default=None, repr=False)
    _port: int = field(init=False, default=0)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock, repr=False)

    def port(self) -> int:
        """A port on loopback that leads to the target; raises CommandError if the target is not reachable."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self.close()
                self._open()
            return self._port

    def close(self) -> None:
        with self._lock:
            if self._process is not None:
                assert self._process.stdin is not None
                self._process.stdin.close()
                self._process.wait()
                self._process = None

    def _open(self) -> None:
        arguments = self.kubectl.command(
            "port-forward", "--namespace", self.namespace, self.target, f":{self.remote_port}"
        )
        command = ["sh", "-c", _GUARDED, "guard", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        lines: list[str] = []
        found = _first_match(self._process.stdout, lines)
        if found is None:
            self.close()
            raise CommandError(
                f"no tunnel to {self.target} in namespace {self.namespace}: {last_lines(''.join(lines))}"
            )
        self._port = int(found)


def _first_match(output: IO[str], lines: list[str]) -> str | None:
    """The port that kubectl prints. The rest of its output is read too, or it would block at a full pipe."""
    answers: SimpleQueue[str | None] = SimpleQueue()

    def read() -> None:
        with output:
            for line in output:
                lines.append(line)
                if match := _FORWARDING.search(line):
                    answers.put(match[1])
        answers.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        return answers.get(timeout=_OPENS_WITHIN_SECONDS)
    except Empty:
        return None
