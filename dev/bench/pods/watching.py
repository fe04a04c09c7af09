"""What happens to one kind of object in one namespace, each event with the moment at which it arrived here."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from dev.machine.errors import DevError
from dev.stage.kubectl import Kubectl


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event of a watch. Its time is later than the write by what the API server takes to tell of it."""

    at: float  # time.time()
    type: str  # ADDED, MODIFIED or DELETED
    object: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])


class Watching(AbstractContextManager["Watching"]):
    """`path` as in `kubectl get --raw`. A watch that ends early is an error at the next question."""

    def __init__(self, kubectl: Kubectl, path: str) -> None:
        self._path = path
        self._news = threading.Condition()
        self._seen: list[Arrival] = []
        self._ended = False
        command = [str(argument) for argument in kubectl.command("get", "--raw", f"{path}?watch=1")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def arrivals(self) -> tuple[Arrival, ...]:
        with self._news:
            return tuple(self._seen)

    def first(self, what: str, matches: Callable[[Arrival], bool], *, within_seconds: float = 60.0) -> Arrival:
        """The first event that matches, waited for if it has not come yet."""
        deadline = time.monotonic() + within_seconds
        looked_at = 0
        with self._news:
            while True:
                for arrival in self._seen[looked_at:]:
                    if matches(arrival):
                        return arrival
                looked_at = len(self._seen)
                left_seconds = deadline - time.monotonic()
                if self._ended or left_seconds <= 0:
                    why = "the watch has ended" if self._ended else f"it did not come within {within_seconds:.0f} s"
                    raise DevError(f"waited for {what} at {self._path} in vain: {why}, {looked_at} other events did")
                self._news.wait(left_seconds)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self._take(lines)
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _take(self, lines: Iterable[str]) -> None:
        for line in lines:
            at = time.time()
            event = json.loads(line)
            with self._news:
                self._seen.append(Arrival(at, event["type"], event["object"]))
                self._news.notify_all()
