"""A TCP proxy that can be cut: it closes its connections, or it goes silent, as when packets are dropped."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Literal, Self
from urllib.parse import urlsplit

Cut = Literal["closed", "silent"]


class Proxy:
    """with Proxy(url) as proxy: connect to proxy.url; proxy.cut("silent"); proxy.mend()."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(netloc=f"postgres@127.0.0.1:{self._listener.getsockname()[1]}").geturl()
        self._flows = threading.Event()
        self._flows.set()
        self._refuses = False
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._refuses = True
        self._listener.close()
        self._drop()
        self._flows.set()

    def cut(self, how: Cut, seconds: float | None = None) -> None:
        """Until mended; with `seconds` that happens by itself."""
        if how == "closed":
            self._refuses = True
            self._drop()
        else:
            self._flows.clear()
        if seconds is not None:
            threading.Timer(seconds, self.mend).start()

    def mend(self) -> None:
        """What was held back by silence is delivered now."""
        self._refuses = False
        self._flows.set()

    @property
    def is_cut(self) -> bool:
        return self._refuses or not self._flows.is_set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._refuses:
                    client.close()
                    continue
                server = socket.create_connection(self._target)
                self._open += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        dropped, self._open = self._open, []
        for end in dropped:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
