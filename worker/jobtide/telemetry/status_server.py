"""An HTTP server for probes and metrics, in threads of its own: worker and controller answer with it.

Any pod of the cluster may connect. So connections are few and short, and metrics come from a cache. When there are too
many connections, the oldest is cut: a probe is answered within milliseconds, so it is among the newest.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any, NamedTuple

from jobtide.errors import SettingsError
from jobtide.telemetry.health import Health

CONNECTIONS_MAX = 32  # each has a thread
CONNECTION_SECONDS = 10.0  # from accepted to answered, whatever the client sends
_THREAD_SECONDS = 1.0  # for the thread of a connection that was cut to end
_FRESH_SECONDS = 1.0
_COST_SHARE = 0.05  # of one processor, for metrics at most
_STUCK_SECONDS = 60.0  # a pass starts every 5 s, but a claim may wait until its connection times out


class Answer(NamedTuple):
    """What one path answers."""

    code: int
    text: str
    content_type: str = "text/plain; charset=utf-8"


Answers = Mapping[str, Callable[[], Answer]]
"""By path; they are called in threads."""


class Cached:
    """Renders at most once a second, and never more than a twentieth of the time. Threads may share it.

    Only the first text is waited for. Later the last one is given while a new one is rendered: scrapes that wait would
    take all places from probes.
    """

    def __init__(self, render: Callable[[], str], *, clock: Callable[[], float] = monotonic) -> None:
        self._render = render
        self._clock = clock
        self._lock = threading.Lock()
        self._text: str | None = None
        self._fresh_until = float("-inf")

    def __call__(self) -> str:
        if not self._lock.acquire(blocking=self._text is None):
            return self._text or ""
        try:
            began = self._clock()
            if self._text is None or began >= self._fresh_until:
                self._text = self._render()
                ended = self._clock()
                self._fresh_until = ended + max(_FRESH_SECONDS, (ended - began) / _COST_SHARE)
            return self._text
        finally:
            self._lock.release()


def worker_answers(health: Health, metrics: Callable[[], str]) -> Answers:
    """/livez, /readyz and /metrics of a worker.

    Liveness depends only on the claim loop: a database that is down must not restart the fleet. Readiness depends on
    whether the database answered the last poll, and whether ends are written.
    """
    cached = Cached(metrics)
    return {
        "/livez": lambda: _livez(health, monotonic()),
        "/readyz": lambda: _readyz(health),
        "/metrics": lambda: Answer(200, cached(), "text/plain; version=0.0.4; charset=utf-8"),
    }


def listen(port: int, host: str = "") -> socket.socket:
    """The socket of a worker's server; the lease keeper shares it. `host` empty: all addresses.

    Raises SettingsError if the port is taken, or the address is none of this machine.
    """
    try:
        return bind(port, host)
    except OSError as refused:
        where = f" on JOBTIDE_HTTP_HOST={host}" if host else ""
        raise SettingsError(f"JOBTIDE_HTTP_PORT={port}{where}: can't listen there: {refused.strerror}") from None


def bind(port: int, host: str = "") -> socket.socket:
    """A listening socket; `host` empty: all addresses, of IPv4 and IPv6. Raises OSError."""
    listener = (None if host else _dual_stack(port)) or socket.create_server((host, port))
    listener.setblocking(False)  # noqa: FBT003 - two processes notice the same request, one accepts it
    return listener


def _dual_stack(port: int) -> socket.socket | None:
    """A socket for IPv6 and IPv4; None on a system without IPv6. Raises OSError if the port is taken."""
    if not socket.has_dualstack_ipv6():
        return None
    try:
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError as refused:
        if refused.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:  # compiled in, but switched off
            return None
        raise


class StatusServer:
    """Serves in threads until `close()`, or until the process ends."""

    def __init__(self, listener: socket.socket, answers: Answers) -> None:
        self._server = _Server(listener, _handler(answers))

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="jobtide-status", daemon=True).start()

    def close(self) -> None:
        """Returns within half a second."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._lock = threading.Lock()
        self._open: dict[Any, float] = {}  # oldest first, by when they were accepted
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Makes room by cutting the oldest connections; without room in time, this one is closed."""
        with self._lock:
            while len(self._open) >= CONNECTIONS_MAX:
                self._cut(next(iter(self._open)))
        if not self._places.acquire(timeout=_THREAD_SECONDS):
            self.shutdown_request(request)
            return
        with self._lock:
            self._open[request] = monotonic()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._end(request)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As the server of the library does, and counts."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._end(request)

    def service_actions(self) -> None:
        """Twice a second: cuts the connections that have taken too long."""
        cut_before = monotonic() - CONNECTION_SECONDS
        with self._lock:
            for request in [one for one, accepted_at in self._open.items() if accepted_at < cut_before]:
                self._cut(request)

    def _cut(self, request: Any) -> None:
        """Its thread reads an end, or fails to write, and ends."""
        del self._open[request]
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def _end(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        self._places.release()


def _handler(answers: Answers) -> type[BaseHTTPRequestHandler]:
    def unknown() -> Answer:
        return Answer(404, f"try {', '.join(answers)}\n")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0], unknown)()
            body = answer.text.encode()
            self.send_response(answer.code)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle(self) -> None:
            with suppress(ConnectionError):  # a prober that hangs up before the answer, or a connection that was cut
                super().handle()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library names it
            """No line for probes, which come every few seconds."""

    return Handler


def _livez(health: Health, now: float) -> Answer:
    age = now - health.passed_at
    if age < _STUCK_SECONDS:
        return Answer(200, "ok\n")
    return Answer(503, f"the claim loop has made no pass for {age:.0f} s\n")


def _readyz(health: Health) -> Answer:
    if unwritten := health.unwritten(monotonic()):
        return Answer(503, f"{unwritten}\n")
    if health.polled:
        return Answer(200, "ok\n")
    why = f": {health.refusal}" if health.refusal else ""
    return Answer(503, f"the database did not answer the last poll{why}\n")
