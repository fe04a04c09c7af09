"""Every version of some objects that the API server shows, across the times when it shows nothing."""

from __future__ import annotations

import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from dev.stage.api import NoAnswer

AGAIN_SECONDS = 0.3
GONE = 410

See = Callable[[str, Any, float], None]
"""Told of each change: ADDED, MODIFIED or DELETED, the object, and when it was seen."""


class Readable(Protocol):
    """What a watch needs of an API server; either may raise NoAnswer."""

    def get(self, path: str) -> Any: ...
    def lines(self, path: str) -> Iterator[Any]: ...


@dataclass(slots=True)
class Watch:
    """A thread. It resumes where it was cut off, so that between two lists no version is missed."""

    api: Readable
    path: str  # with its selector, which may be empty: ".../pods?"
    see: See
    _version: str | None = field(init=False, default=None)
    _known: dict[str, Any] = field(init=False, default_factory=dict)  # by uid
    _ended: threading.Event = field(init=False, default_factory=threading.Event)
    _listed: threading.Event = field(init=False, default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self.run, name=f"watch {self.path}", daemon=True).start()
        self._listed.wait()

    def stop(self) -> None:
        """It says nothing more; its thread ends with the next line or silence."""
        self._ended.set()

    def run(self) -> None:
        while not self._ended.is_set():
            if not self.run_once():
                self._ended.wait(AGAIN_SECONDS)

    def run_once(self) -> bool:
        """One list where that is needed, and one watch until it ends; whether that was answered."""
        try:
            self._follow()
        except urllib.error.HTTPError as error:
            if error.code == GONE:
                self._version = None
            return False
        except NoAnswer:
            return False
        return True

    def _follow(self) -> None:
        if self._version is None:
            self._list()
        query = f"watch=true&allowWatchBookmarks=true&timeoutSeconds=60&resourceVersion={self._version}"
        for event in self.api.lines(f"{self.path}&{query}"):
            if self._ended.is_set():
                return
            if event["type"] == "ERROR":
                self._version = None  # too old, or unreadable: a list begins anew
                return
            self._version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self._show(event["type"], event["object"])

    def _list(self) -> None:
        """What a list does not have any more went while nobody looked."""
        listed = self.api.get(self.path)
        present = {item["metadata"]["uid"] for item in listed["items"]}
        for uid in self._known.keys() - present:
            self._show("DELETED", self._known[uid])
        for item in listed["items"]:
            self._show("ADDED", item)
        self._version = listed["metadata"]["resourceVersion"]
        self._listed.set()

    def _show(self, change: str, item: Any) -> None:
        uid = item["metadata"]["uid"]
        if change == "DELETED":
            self._known.pop(uid, None)
        else:
            self._known[uid] = item
        self.see(change, item, time.time())
