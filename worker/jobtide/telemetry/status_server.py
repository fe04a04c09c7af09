"""/livez, /readyz and /metrics.

Liveness depends only on the claim loop: a database that is down must not restart the fleet. Readiness depends on
whether the database answered the last poll, and whether ends are written.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic

from jobtide.errors import SettingsError
from jobtide.telemetry.health import Health

_STUCK_SECONDS = 60.0  # a pass starts every 5 s, but a claim may wait until its connection times out


def listen(port: int, host: str = "") -> socket.socket:
    """The socket of the server; the lease keeper shares it. `host` empty: all addresses.

    Raises SettingsError if the port is taken, or the address is none of this machine.
    """
    try:
        listener = (None if host else _dual_stack(port)) or socket.create_server((host, port))
    except OSError as refused:
        where = f" on JOBTIDE_HTTP_HOST={host}" if host else ""
        raise SettingsError(f"JOBTIDE_HTTP_PORT={port}{where}: can't listen there: {refused.strerror}") from None
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
    """Serves in a thread until the process ends."""

    def __init__(self, listener: socket.socket, health: Health, metrics: Callable[[], str]) -> None:
        answers: dict[str, Callable[[], tuple[int, str]]] = {
            "/livez": lambda: _livez(health, monotonic()),
            "/readyz": lambda: _readyz(health),
            "/metrics": lambda: (200, metrics()),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = answers.get(self.path.partition("?")[0], lambda: (404, "try /livez, /readyz or /metrics\n"))
                code, text = answer()
                body = text.encode()
                self.send_response(code)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle(self) -> None:
                with suppress(ConnectionError):  # a prober that hangs up before the answer
                    super().handle()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
                """No line for probes, which come every few seconds."""

        self._server = ThreadingHTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener
        self._server.daemon_threads = True

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="jobtide-status", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _livez(health: Health, now: float) -> tuple[int, str]:
    age = now - health.passed_at
    return (200, "ok\n") if age < _STUCK_SECONDS else (503, f"the claim loop has made no pass for {age:.0f} s\n")


def _readyz(health: Health) -> tuple[int, str]:
    if unwritten := health.unwritten(monotonic()):
        return 503, f"{unwritten}\n"
    if health.polled:
        return 200, "ok\n"
    why = f": {health.refusal}" if health.refusal else ""
    return 503, f"the database did not answer the last poll{why}\n"
