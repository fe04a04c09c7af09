"""A request that timed out leaves nothing behind that could arrive later."""

from __future__ import annotations

import asyncio
import socket

import pytest

from jobtide_controller.kube.api.client import Api, ApiError, load_configuration
from tests.unit.kube.test_client import kubeconfig

LARGE = {"data": "x" * 900_000}
SMALL_BUFFER = 4096  # bytes: most of the request waits in the sender's kernel


async def test_the_remainder_of_a_write_that_timed_out_is_never_sent(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server.getsockname()[1])))
        api = Api(await load_configuration())
        try:
            with pytest.raises(ApiError, match=r"no answer to PATCH /x within 0\.3 s"):
                await api.request("PATCH", "/x", body=LARGE, timeout_seconds=0.3)
        finally:
            await api.close()
        connection, _ = server.accept()
        with connection, pytest.raises(ConnectionResetError):
            await asyncio.to_thread(read_all, connection)


def read_all(connection: socket.socket) -> int:
    """The number of bytes until the other side closes the connection."""
    connection.settimeout(10)
    count = 0
    while chunk := connection.recv(1_000_000):
        count += len(chunk)
    return count


async def test_the_api_server_gets_our_time_limit(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, server.getsockname()[1])))
        api = Api(await load_configuration())
        try:
            with pytest.raises(ApiError):
                await api.request("PATCH", "/x", query={"force": "true"}, timeout_seconds=0.2)
        finally:
            await api.close()
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1000).startswith(b"PATCH /x?force=true&timeout=0.2s HTTP/1.1\r\n")
