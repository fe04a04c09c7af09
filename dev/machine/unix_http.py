"""HTTP over a Unix socket, which the modes of its folder protect from other users."""

from __future__ import annotations

import http
import http.client
import socket
from contextlib import closing
from pathlib import Path


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(path: Path, target: str, body: bytes | None = None, *, timeout_seconds: float) -> bytes:
    """Returns the body of the answer to a GET, or to a POST of `body`.

    Raises OSError if nothing listens on the socket, or if the answer is not 200.
    """
    with closing(_Connection(path, timeout_seconds)) as connection:
        try:
            connection.request("GET" if body is None else "POST", target, body)
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"{path} gave no whole answer to {target}: {error!r}") from error
    if answer.status != http.HTTPStatus.OK:
        raise OSError(f"{path} answered {target} with {answer.status}: {content.decode(errors='replace')}")
    return content


def answers(path: Path, target: str) -> bool:
    """True if a GET is answered with 200, within 5 s."""
    try:
        call(path, target, timeout_seconds=5)
    except OSError:
        return False
    return True
