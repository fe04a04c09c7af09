"""The probe server over real connections."""

from __future__ import annotations

import socket
import struct
import threading
import urllib.error
import urllib.request
from time import monotonic

import pytest

from jobtide.telemetry.health import Health
from jobtide.telemetry.status_server import StatusServer, listen


@pytest.fixture
def serve():
    """serve(metrics, health) -> a server that answers /metrics with this function, and its port."""
    listeners = []

    def start(metrics, health=None):
        listener = listen(0)
        listeners.append(listener)
        server = StatusServer(listener, health or Health(monotonic()), metrics)
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


def test_readyz_says_why_the_worker_is_not_ready(serve):
    _, port = serve(str, Health(monotonic(), refusal='password authentication failed for user "w"'))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10)
    assert refused.value.code == 503
    words = 'the database did not answer the last poll: password authentication failed for user "w"\n'
    assert refused.value.read().decode() == words
