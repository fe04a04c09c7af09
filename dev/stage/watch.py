"""Watches objects of the API server: every version of them, each with the time at which it arrived here.

Watch     passes each event on, and resumes where it was cut off
EventLog  keeps the events of one watch, and waits for those that are still to come
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import urlencode

from dev.machine.errors import DevError
from dev.machine.shell import CommandError, last_lines
from dev.stage.api import NoAnswer
from dev.stage.kubectl import Kubectl

AGAIN_SECONDS = 0.3
LISTED_WITHIN_SECONDS = 60.0
# Longer than a run: while kubectl restarts, events arrive late.
WATCH_SECONDS = 3600

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Event:
    """One change of an object. Its time is later than the write by what the API server takes to report it."""

    at: float  # seconds since 1970, by this machine's clock
    type: str  # ADDED, MODIFIED or DELETED
    object: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.object["metadata"]["uid"])


class Source(Protocol):
    """How a watch reads the API server: dev/stage/api.py or KubectlSource. `get` and `lines` may raise NoAnswer."""

    def get(self, path: str) -> Any: ...
    def lines(self, path: str) -> Iterator[Any]: ...
    def close(self) -> None:
        """Ends `lines` early where that is possible."""


class KubectlSource:
    """Reads through kubectl, which finds its way into any cluster. For one watch."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def get(self, path: str) -> Any:
        """Raises ConnectionError if kubectl fails."""
        try:
            return json.loads(self._kubectl("get", "--raw", path))
        except CommandError as error:
            raise ConnectionError(str(error)) from error

    def lines(self, path: str) -> Iterator[Any]:
        """Yields events until the watch ends. Raises HTTPError 410 for an expired version, else ConnectionError."""
        command = [str(argument) for argument in self._kubectl.command("get", "--raw", path)]
        pipe = subprocess.PIPE
        with self._lock:
            if self._closed:
                return
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
            self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        with process:
            try:
                for line in process.stdout:
                    yield json.loads(line)
                errors = process.stderr.read()
            finally:
                process.terminate()
        if "(Expired)" in errors or "(Gone)" in errors:  # how kubectl prints the reason of a 410
            raise urllib.error.HTTPError(path, HTTPStatus.GONE, errors, Message(), None)
        if errors or process.returncode:
            raise ConnectionError(f"kubectl ended: {last_lines(errors)}")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.terminate()


@dataclass(slots=True)
class Watch(AbstractContextManager["Watch"]):
    """A thread that calls `see` for each event. Between two lists it misses no version, however often it is cut off."""

    source: Source
    path: str  # as in `kubectl get --raw`
    see: Callable[[Event], None]
    selectors: dict[str, str] = field(default_factory=dict)  # labelSelector, fieldSelector
    problem: str = field(init=False, default="")  # why the last try ended early
    _version: str | None = field(init=False, default=None)
    _known: dict[str, Any] = field(init=False, default_factory=dict)  # by uid
    _ended: threading.Event = field(init=False, default_factory=threading.Event)
    _listed: threading.Event = field(init=False, default_factory=threading.Event)

    def __enter__(self) -> Self:
        """Returns when the first list was seen; raises DevError where there is none within a minute."""
        threading.Thread(target=self.run, name=f"watch {self.path}", daemon=True).start()
        if not self._listed.wait(LISTED_WITHIN_SECONDS):
            self.stop()
            raise DevError(f"{self.path} could not be listed within {LISTED_WITHIN_SECONDS:g} s: {self.problem}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """No event is passed on any more; the thread ends with the next line or silence."""
        self._ended.set()
        self.source.close()

    def run(self) -> None:
        while not self._ended.is_set():
            if not self.run_once():
                self._ended.wait(AGAIN_SECONDS)

    def run_once(self) -> bool:
        """One list where it is needed, and one watch until it ends. False if the API server gave no answer."""
        try:
            self._follow()
        except urllib.error.HTTPError as error:
            self.problem = str(error)
            if error.code == HTTPStatus.GONE:
                self._version = None
            return False
        except NoAnswer as error:
            self.problem = str(error)
            return False
        self.problem = ""
        return True

    def _follow(self) -> None:
        if self._version is None:
            self._list()
        for event in self.source.lines(self._url(watch="true", **self._resume())):
            if self._ended.is_set():
                return
            if event["type"] == "ERROR":
                self._version = None  # too old, or unreadable: start from a list again
                return
            self._version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._show(event["type"], event["object"])

    def _resume(self) -> dict[str, str]:
        bounds = {"allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        return {**bounds, "resourceVersion": str(self._version)}

    def _list(self) -> None:
        """Objects that a list no longer has were deleted while the watch was cut off."""
        listed = self.source.get(self._url())
        present = {item["metadata"]["uid"] for item in listed["items"]}
        for uid in self._known.keys() - present:
            self._show("DELETED", self._known[uid])
        for item in listed["items"]:
            self._show("ADDED", item)
        self._version = listed["metadata"]["resourceVersion"]
        self._listed.set()

    def _url(self, **options: str) -> str:
        return f"{self.path}?{urlencode({**self.selectors, **options})}"

    def _show(self, type_: str, item: Any) -> None:
        event = Event(time.time(), type_, item)
        if type_ == "DELETED":
            self._known.pop(event.uid, None)
        else:
            self._known[event.uid] = item
        self.see(event)


class EventLog(AbstractContextManager["EventLog"]):
    """All events of one watch, from `with` to its end. Polling would miss what lasts a moment."""

    def __init__(self, source: Source, path: str, **selectors: str) -> None:
        self._watch = Watch(source, path, self._keep, selectors)
        self._events: list[Event] = []
        self._more = threading.Condition()

    def __enter__(self) -> Self:
        self._watch.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._watch.stop()

    @property
    def events(self) -> list[Event]:
        """In the order of arrival, so far."""
        with self._more:
            return list(self._events)

    def first(self, what: str, matches: Callable[[Event], bool], *, within_seconds: float = 60.0) -> Event:
        """The first event that matches; raises DevError after the deadline."""
        return self.wait(what, lambda events: next(filter(matches, events), None), within_seconds=within_seconds)

    def wait(
        self, what: str, look_for: Callable[[list[Event]], Found | None], *, within_seconds: float = 60.0
    ) -> Found:
        """The first true value that is found in the events; raises DevError after the deadline."""
        deadline = time.monotonic() + within_seconds
        with self._more:
            while not (found := look_for(list(self._events))):
                left_seconds = deadline - time.monotonic()
                if left_seconds <= 0:
                    raise DevError(f"waited {within_seconds:g} s for {what}, without success: {self._seen()}")
                self._more.wait(left_seconds)
        return found

    def _keep(self, event: Event) -> None:
        with self._more:
            self._events.append(event)
            self._more.notify_all()

    def _seen(self) -> str:
        counts = Counter(event.type for event in self._events)
        seen = ", ".join(f"{count} {type_}" for type_, count in counts.items()) or "no event"
        last = f", the last one of {self._events[-1].name}" if self._events else ""
        cut_off = f"; the watch is cut off: {self._watch.problem}" if self._watch.problem else ""
        return f"{seen} at {self._watch.path}{last}{cut_off}"
