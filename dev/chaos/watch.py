"""Every version of some objects that the API server shows, across the times when it shows nothing."""

from __future__ import annotations

import threading
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dev.chaos.api import Api, NoAnswer

AGAIN_SECONDS = 0.3
GONE = 410

See = Callable[[str, Any, float], None]
"""Told of each change: ADDED, MODIFIED or DELETED, the object, and when it was seen."""


@dataclass(slots=True)
class Watch:
    """A thread. It resumes where it was cut off, so that between two lists no version is missed."""

    api: Api
    path: str  # with its selector, which may be empty: ".../pods?"
    see: See
    _version: str | None = field(init=False, default=None)
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
            try:
                self.run_once()
            except urllib.error.HTTPError as error:
                if error.code == GONE:
                    self._version = None
                self._ended.wait(AGAIN_SECONDS)
            except NoAnswer:
                self._ended.wait(AGAIN_SECONDS)

    def run_once(self) -> None:
        """One list where that is needed, and one watch until it ends."""
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
                self.see(event["type"], event["object"], time.time())

    def _list(self) -> None:
        listed = self.api.get(self.path)
        for item in listed["items"]:
            self.see("ADDED", item, time.time())
        self._version = listed["metadata"]["resourceVersion"]
        self._listed.set()
