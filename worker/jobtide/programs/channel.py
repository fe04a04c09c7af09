"""Messages between a worker and the process of one of its handlers: JSON objects, one a line, over a socket."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

Message = dict[str, Any]
_READ_BYTES = 262_144


class Channel:
    """One end. Several threads may send, one receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._read = bytearray()
        self._searched = 0  # bytes of it that are known to hold no end of a line

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, message: Message) -> None:
        """Raises OSError if the other end is closed."""
        line = json.dumps(message).encode() + b"\n"
        with self._sending:
            self._connection.sendall(line)

    @property
    def has_read_ahead(self) -> bool:
        """True if a message was read together with the one before: no selector reports that."""
        return b"\n" in self._read

    def receive(self, flags: int = 0) -> Message | None:
        """The next message; None if the other end is closed. Waits, or with MSG_DONTWAIT raises BlockingIOError."""
        while (end := self._read.find(b"\n", self._searched)) < 0:
            self._searched = len(self._read)
            chunk = self._connection.recv(_READ_BYTES, flags)
            if not chunk:
                return None
            self._read += chunk
        line = bytes(self._read[:end])
        del self._read[: end + 1]
        self._searched = 0
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        self._connection.close()
