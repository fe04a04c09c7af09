"""The probe server over real connections."""

from __future__ import annotations

import socket
import struct
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from time import monotonic

import pytest

from dev.machine.wait import wait_until
from jobtide.telemetry.health import Health
from jobtide.telemetry.status_server import (
    CONNECTIONS_MAX,
    Cached,
    StatusServer,
    listen,
    worker_answers,
)


@pytest.fixture
def serve():
    """serve(metrics, health) -> a server that answers /metrics with this function, and its port."""
    listeners, servers = [], []

    def start(metrics, health=None):
        listener = listen(0)
        listeners.append(listener)
        server = StatusServer(listener, worker_answers(health or Health(monotonic()), metrics))
        server.start()
        servers.append(server)
        return server, listener.getsockname()[1]

    yield start
    for server in servers:
        server.close()
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


def connect(port, stack):
    return stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))


def ask(port, path="/livez"):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while part := client.recv(65_536):
            answer += part
    return answer.decode()


def threads():
    return sum(thread.name.startswith("Thread-") for thread in threading.enumerate())


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET /livez HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "a letter", "no end of the head"]
)
def test_clients_that_ask_for_nothing_take_no_place_from_a_probe(serve, sent):
    _, port = serve(lambda: "")
    with ExitStack() as stack:
        for _ in range(300):
            connect(port, stack).sendall(sent)
        assert ask(port).endswith("ok\n")
        assert threads() <= CONNECTIONS_MAX


def test_connections_that_are_cut_are_the_oldest(serve):
    _, port = serve(lambda: "")
    with ExitStack() as stack:
        first, *others = [connect(port, stack) for _ in range(CONNECTIONS_MAX)]
        assert ask(port).endswith("ok\n")
        assert first.recv(1) == b""
        others[-1].sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert others[-1].recv(100).startswith(b"HTTP/1.0 200")


def test_connection_ends_after_its_time_even_if_the_client_sends_on(serve, monkeypatch):
    monkeypatch.setattr("jobtide.telemetry.status_server.CONNECTION_SECONDS", 0.2)
    _, port = serve(lambda: "")

    with ExitStack() as stack:
        client = connect(port, stack)

        def is_cut():
            try:
                client.sendall(b"x")
            except ConnectionError:
                return True
            return False

        wait_until("the end of the connection", is_cut, within_seconds=10, poll_seconds=0.05)
        wait_until("the end of its thread", lambda: threads() == 0, within_seconds=10, poll_seconds=0.05)


def test_probe_is_answered_while_metrics_are_rendered(serve):
    asked, may_end = threading.Event(), threading.Event()

    def metrics():
        asked.set()
        assert may_end.wait(10)
        return "rendered"

    _, port = serve(metrics)
    with ExitStack() as stack:
        scrapes = [connect(port, stack) for _ in range(CONNECTIONS_MAX - 2)]
        for scrape in scrapes:
            scrape.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert asked.wait(10)
        assert ask(port).endswith("ok\n")
        may_end.set()
        assert all(b"".join(iter(lambda one=one: one.recv(999), b"")).endswith(b"rendered") for one in scrapes)


def test_scrapes_without_end_take_no_place_from_a_probe_while_metrics_are_rendered(serve, monkeypatch):
    monkeypatch.setattr("jobtide.telemetry.status_server._FRESH_SECONDS", 0.0)
    texts, asked, may_end = iter(["old"]), threading.Event(), threading.Event()

    def metrics():
        if (text := next(texts, None)) is not None:
            return text
        asked.set()
        assert may_end.wait(10)
        return "new"

    _, port = serve(metrics)
    wait_until("the second rendering", lambda: ask_and_leave(port) or asked.is_set(), within_seconds=10)
    with ExitStack() as stack:
        scrapes = [connect(port, stack) for _ in range(3 * CONNECTIONS_MAX)]
        for scrape in scrapes:
            with suppress(ConnectionError):
                scrape.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert ask(port).endswith("ok\n")
        assert ask(port, "/metrics").endswith("old")
        may_end.set()


def ask_and_leave(port):
    """Asks for metrics, and does not wait for the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")


def test_metrics_are_rendered_once_for_all_that_ask_within_a_second(serve):
    rendered = []

    def metrics():
        rendered.append(1)
        return "x"

    _, port = serve(metrics)
    assert [ask(port, "/metrics")[-1] for _ in range(5)] == ["x"] * 5
    assert len(rendered) == 1


def test_metrics_that_are_expensive_are_rendered_less_often():
    now = [100.0]

    def render():
        now[0] += 0.3
        return f"at {now[0]:g}"

    cached = Cached(render, clock=lambda: now[0])
    assert cached() == "at 100.3"
    now[0] += 5.9
    assert cached() == "at 100.3"
    now[0] += 0.2
    assert cached() == "at 106.7"


def test_an_unknown_path_names_the_known_ones(serve):
    _, port = serve(lambda: "")
    assert ask(port, "/").endswith("try /livez, /readyz, /metrics\n")


def test_readyz_says_why_the_worker_is_not_ready(serve):
    _, port = serve(str, Health(monotonic(), refusal='password authentication failed for user "w"'))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10)
    assert refused.value.code == 503
    words = 'the database did not answer the last poll: password authentication failed for user "w"\n'
    assert refused.value.read().decode() == words
