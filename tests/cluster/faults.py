"""A proxy between one controller and the real API server that injects faults and records what passed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from dev.cluster.control_plane import ControlPlane
from dev.machine.private import write_private

HOP_BY_HOP = {"host", "connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as the API server receives it."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | None
    at: float = field(default_factory=time.monotonic)

    @property
    def is_write(self) -> bool:
        return self.method != "GET" and not self.is_lease

    @property
    def is_lease(self) -> bool:
        return "/leases" in self.path

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "true"

    @property
    def manager(self) -> str | None:
        return self.query.get("fieldManager")

    @property
    def name(self) -> str:
        return self.path.removesuffix("/scale").rpartition("/")[2]

    @property
    def replicas(self) -> int | None:
        """The replicas that this request sets; None if it sets none."""
        return (self.body or {}).get("spec", {}).get("replicas") if "/deployments" in self.path else None

    @property
    def takes_lease(self) -> str | None:
        return ((self.body or {}).get("spec", {}).get("holderIdentity") or None) if self.is_lease else None


def everything(_: Call) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the calls that it is `on`."""

    on: Callable[[Call], bool] = everything
    code: int | None = None  # the proxy refuses with this code
    retry_after_seconds: int | None = None
    answers_after_seconds: float = 0.0  # passed on at once, answered late
    holds: bool = False  # accepted, but neither passed on nor answered until the fault is lifted
    lands_late: bool = False  # passed on even if the sender has given up


class FaultProxy:
    """Calls are in `passed` if the API server received them, in `spoilt` if not."""

    def __init__(self, name: str, plane: ControlPlane, folder: Path) -> None:
        self.kubeconfig = folder / f"{name}.kubeconfig"
        self.passed: list[Call] = []
        self.answered: list[tuple[Call, int]] = []  # with the API server's own code
        self.spoilt: list[Call] = []
        self.met = 0  # calls that the current or last fault was on
        self._plane = plane
        self._fault: Fault | None = None
        self._lifted = asyncio.Event()
        self._watches: set[web.StreamResponse] = set()
        self._connections: set[asyncio.BaseTransport] = set()
        self._loop = asyncio.new_event_loop()
        self._runs = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"proxy {name}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._runs.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.lift()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @contextlib.contextmanager
    def fault(self, fault: Fault) -> Iterator[None]:
        self.begin(fault)
        try:
            yield
        finally:
            self.lift()

    def begin(self, fault: Fault) -> None:
        self._loop.call_soon_threadsafe(self._lifted.clear)
        self.met = 0
        self._fault = fault

    def lift(self) -> None:
        self._fault = None
        self._loop.call_soon_threadsafe(self._lifted.set)

    def cut(self) -> None:
        """Resets every connection, also those of watches."""
        self._loop.call_soon_threadsafe(lambda: [transport.abort() for transport in list(self._connections)])

    def end_watches(self, code: int) -> None:
        """Ends all watches with an error in their stream; 410: the API server no longer has the requested version."""
        asyncio.run_coroutine_threadsafe(self._end_watches(code), self._loop).result(10)

    @property
    def scaled(self) -> list[tuple[str, int]]:
        """Every number of replicas that the API server accepted, with the name of its Deployment."""
        return [
            (call.name, call.replicas) for call, code in list(self.answered) if call.replicas is not None and code < 300
        ]

    async def _end_watches(self, code: int) -> None:
        error = {
            "type": "ERROR",
            "object": {"kind": "Status", "apiVersion": "v1", "code": code, "message": "on demand"},
        }
        for stream in list(self._watches):
            with contextlib.suppress(ConnectionError):
                await stream.write(json.dumps(error).encode() + b"\n")

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._loop.run_forever()
        self._loop.run_until_complete(self._stop())
        self._loop.close()

    async def _start(self) -> None:
        context = ssl.create_default_context(cafile=str(self._plane.authority))
        self._connector = aiohttp.TCPConnector(ssl=context, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(connector=self._connector, timeout=timeout, auto_decompress=False)
        application = web.Application(client_max_size=10_000_000)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        config = json.loads(self._plane.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {"server": url}
        write_private(self.kubeconfig, json.dumps(config))
        self._runs.set()

    async def _stop(self) -> None:
        await self._connector.close(abort_ssl=True)  # without it, watches would end late
        await self._session.close()
        await self._runner.cleanup()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(BaseException):
                await task
        await asyncio.sleep(0)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            self._connections = {way for way in self._connections if not way.is_closing()} | {request.transport}
        raw = await request.read()
        call = Call(request.method, request.path, dict(request.query), json.loads(raw) if raw else None)
        fault = self._fault
        if fault is None or not fault.on(call):
            return await self._pass_on(request, call, raw)
        self.met += 1
        if fault.holds:
            self.spoilt.append(call)
            await self._lifted.wait()
            if fault.lands_late or not _has_given_up(request):
                late = Call(call.method, call.path, call.query, call.body)
                return await self._pass_on(request, late, raw)
            return web.Response(status=499)
        if fault.code is not None:
            self.spoilt.append(call)
            return _refusal(fault)
        return await self._pass_on(request, call, raw, answers_after_seconds=fault.answers_after_seconds)

    async def _pass_on(
        self, request: web.Request, call: Call, raw: bytes, *, answers_after_seconds: float = 0.0
    ) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP}
        url = f"{self._plane.url}{request.rel_url}"
        self.passed.append(call)
        try:
            async with self._session.request(request.method, url, headers=headers, data=raw or None) as answer:
                self.answered.append((call, answer.status))
                if answers_after_seconds:
                    await asyncio.sleep(answers_after_seconds)
                return await self._answer(request, call, answer)
        except aiohttp.ClientConnectionError:  # the API server itself is down
            self.passed.remove(call)
            self.spoilt.append(call)
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)

    async def _answer(self, request: web.Request, call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = {key: value for key, value in answer.headers.items() if key.lower() not in HOP_BY_HOP}
        stream = web.StreamResponse(status=answer.status, headers=headers)
        if call.is_watch:
            self._watches.add(stream)
        try:
            await stream.prepare(request)
            async for chunk in self._chunks(call, answer):
                await stream.write(chunk)
        except (ConnectionError, aiohttp.ClientError):
            pass  # one of the two sides has closed the connection
        finally:
            self._watches.discard(stream)
        return stream

    async def _chunks(self, call: Call, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        async for chunk in answer.content.iter_any():
            fault = self._fault
            if fault is not None and fault.holds and fault.on(call):
                await self._lifted.wait()
            yield chunk


def _has_given_up(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _refusal(fault: Fault) -> web.Response:
    assert fault.code is not None
    words = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": fault.code, "message": "on demand"}
    headers = {} if fault.retry_after_seconds is None else {"Retry-After": str(fault.retry_after_seconds)}
    return web.json_response(words, status=fault.code, headers=headers)
