"""The probe server over real connections."""

from __future__ import annotations

import socket
import struct
import threading
from time import monotonic

import pytest

from jobtide.telemetry.health import Health
from jobtide.telemetry.status_server import StatusServer, listen


@pytest.fixture
def serve():
    """serve(metrics) -> the port of a server that answers /metrics with this function."""
    listeners = []

    def start(metrics):
        listener = listen(0)
        listeners.append(listener)
        server = StatusServer(listener, Health(monotonic()), metrics)
        server.start()
        return server, listener.getsockname()[1]

    yield start
    for listener in listeners:
        listener.close()


def test_a_prober_that_hangs_up_before_the_answer_leaves_no_traceback(serve, capfd):
    asked, gone = threading.Event(), threading.Event()

    def metrics():
        asked.set()
        assert gone.wait(10)
        return "x" * 10_000_000

    server, port = serve(metrics)
    answered = threading.Event()
    shut_down = server._server.shutdown_request
    server._server.shutdown_request = lambda request: (shut_down(request), answered.set())
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert asked.wait(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.set()
    assert answered.wait(10)
    assert capfd.readouterr().err == ""
