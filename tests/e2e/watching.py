"""Everything that the API server says of some objects, in order, with the moment at which it was heard."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from dev.stage.kubectl import Kubectl

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Said:
    at: float  # seconds since the epoch, by this machine's clock
    what: str  # ADDED, MODIFIED or DELETED
    object: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


class Watch:
    """`kubectl get RESOURCE --watch`, from `with` to its end. Polling would miss what lasts a moment."""

    def __init__(self, kubectl: Kubectl, namespace: str, resource: str) -> None:
        options = ["--watch", "--output-watch-events", "--output", "json"]
        self._command = [*map(str, kubectl.command("get", resource, "--namespace", namespace)), *options]
        self._said: list[Said] = []
        self._more = threading.Condition()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def said(self) -> list[Said]:
        return list(self._said)

    def wait(self, what: str, look_for: Callable[[list[Said]], Found | None], *, seconds: float = 60) -> Found:
        """The first true value that is found in what was said; fails the test at the deadline."""
        deadline = time.monotonic() + seconds
        with self._more:
            while not (found := look_for(self.said)):
                left = deadline - time.monotonic()
                assert left > 0, f"waited {seconds:g} s in vain for {what}"
                assert self._process.poll() is None, f"{self._command} ended while it was waited for {what}"
                self._more.wait(min(left, 1))
        return found

    def _read(self) -> None:
        """One event a line."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            with self._more:
                self._said.append(Said(time.time(), event["type"], event["object"]))
                self._more.notify_all()
