"""Answers a probe on behalf of a process in which no thread can run, on the socket that both listen on."""

from __future__ import annotations

import socket

_REQUEST_SECONDS = 1.0
_REQUEST_BYTES = 4_096
_BODY = b"a handler holds the interpreter\n"


def answer_probe(listener: socket.socket) -> None:
    """One waiting request: alive and ready, since a pod that is not ready is the first to go in a scale-down.

    The socket doesn't block: its owner may have been faster.
    """
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(_REQUEST_SECONDS)
            is_probe = connection.recv(_REQUEST_BYTES).startswith((b"GET /livez", b"GET /readyz"))
            status = b"200 OK" if is_probe else b"503 Service Unavailable"
            head = b"HTTP/1.0 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (status, len(_BODY))
            connection.sendall(head + _BODY)
    except OSError:  # a probe that has gone away, or that the worker itself could take
        return
