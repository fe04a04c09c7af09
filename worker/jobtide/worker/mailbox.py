"""Mail for the claim loop: from handlers' ends, from signals, and from the server while the worker rests."""

from __future__ import annotations

import selectors
import socket
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Literal

from jobtide.queue.rest import Rest

Mail = Literal["freed", "stop", "woken"]


class Mailbox:
    """`put` is for any thread and for signal handlers, `get` for the loop alone."""

    def __init__(self) -> None:
        self._mail: SimpleQueue[Mail] = SimpleQueue()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)  # noqa: FBT003 - as the standard library has it
        self._theirs.setblocking(False)  # noqa: FBT003
        self._is_watched = False
        for end in (self._ours, self._theirs):
            weakref.finalize(self, end.close)

    def put(self, mail: Mail) -> None:
        """SimpleQueue.put is safe in a signal handler, where a lock is not."""
        self._mail.put(mail)
        if self._is_watched:
            with suppress(BlockingIOError):  # full: it is readable already
                self._theirs.send(b"\0")

    def get(self, wait_seconds: float, rest: Rest | None = None) -> Mail | None:
        """The oldest mail; with `rest`, also "woken" when a notification arrives. None: nothing in `wait_seconds`."""
        descriptor = None if rest is None or wait_seconds <= 0 else rest.descriptor
        if rest is not None and descriptor is not None:
            return self._watch(descriptor, rest, monotonic() + wait_seconds)
        try:
            return self._mail.get(timeout=wait_seconds) if wait_seconds > 0 else self._mail.get_nowait()
        except Empty:
            return None

    def _watch(self, descriptor: int, rest: Rest, until: float) -> Mail | None:
        self._is_watched = True  # before the first look at the mail: what is put after it is seen by the selector
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(descriptor, selectors.EVENT_READ)
                selector.register(self._ours, selectors.EVENT_READ)
                while True:
                    if not self._mail.empty():
                        return self._mail.get_nowait()
                    if rest.hear():
                        return "woken"
                    if (left := until - monotonic()) <= 0:
                        return None
                    selector.select(left)
        finally:
            self._is_watched = False
            with suppress(BlockingIOError):
                while self._ours.recv(4096):
                    pass
