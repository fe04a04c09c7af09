"""Follows pools, their Deployments and pods: each event goes into the inventory, nothing is decided here.

kopf gives: per kind and namespace a list and a watch that continues at the last resourceVersion, lists again when the
API server has forgotten that version (410), reconnects after a break or a silence, and logs in again before a token
expires. Switched off, because the pipeline does it itself or does not need it: handlers of changes, with their
annotations and finalizers on users' objects (`on.event` alone is used); kopf's Events; peering; the scan of CRDs and
namespaces; the copy of each object for differences; the memory of each object.

kopf runs in a thread and an event loop of its own. Its operator() takes over the signals of the main thread and, as it
ends, waits for and cancels every task that was made while it ran; neither may happen to the pipeline.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory
from kubernetes.aio.client import Configuration

from jobtide.backoff import backoff_seconds
from jobtide_controller.kube.api.client import DEPLOYMENTS, PODS, POOLS, load_configuration
from jobtide_controller.kube.inventory.bounded_session import session_of
from jobtide_controller.kube.inventory.kopf_log import Reachability, attached
from jobtide_controller.kube.inventory.relist import POOLS_AT_ONCE, WORKER_SELECTOR
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.telemetry.events import Emit, Event, Failed, WatchEnded, WatchFound, WatchLost

# A service account's token is replaced well before its hour is over; kopf logs in again after this time.
LOGIN_SECONDS = 600

CLOSING_SECONDS = 0.25

# kopf itself waits 5 seconds for its tasks, and then without end.
ENDING_SECONDS = 10.0

# The first pause before kopf is restarted, and the longest.
RESTART_SECONDS = (0.25, 30.0)

# Between two pauses of the event loop, in which probes are answered and the lease is renewed.
EVENTS_AT_ONCE = 50

Raw = dict[str, Any]
Handle = Callable[[Raw], object]
Deliver = Callable[[Handle, Raw], None]


class _NoDifferences(kopf.DiffBaseStorage):
    """kopf copies every object for handlers of changes, which are not used here."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is written on users' objects."""


class _NoMemories(ResourceMemories):
    """kopf remembers three kilobytes of each object for daemons and retries, which are not used either."""

    async def recall(self, raw_body: Any, **options: Any) -> ResourceMemory:
        return await super().recall(raw_body, **{**options, "ephemeral": True})


class _EndlessBackoff:
    """Pauses between attempts of one request, in seconds. kopf never gives up, even after an hour of failures."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1.0, 2.0, 3.0), itertools.repeat(5.0))


class Watch:
    """Follows until it is cancelled. If kopf gives up (an unknown error within a stream, a revoked right), it is
    restarted and lists everything again. `on_gap` is called then, and when the API server is reachable again after an
    outage: events of deletions may be missing.
    """

    def __init__(
        self,
        inventory: Inventory,
        namespaces: tuple[str, ...],
        emit: Emit,
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._inventory = inventory
        self._namespaces = namespaces
        self._emit = emit
        self._on_gap = on_gap

    async def run(self) -> None:
        loop = asyncio.get_running_loop()

        def report(event: Event) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._report, event)

        reachability = Reachability(lambda why: report(WatchLost(why)), lambda seconds: report(WatchFound(seconds)))
        with attached(reachability):
            await self._follow_and_restart()

    async def _follow_and_restart(self) -> None:
        base_seconds, max_seconds = RESTART_SECONDS
        failures = 0
        while True:
            started = time.monotonic()
            why = await self._follow()
            failures = 1 if time.monotonic() - started > max_seconds else failures + 1
            pause = backoff_seconds(failures, base_seconds=base_seconds, max_seconds=max_seconds)
            self._emit(WatchEnded(why, pause))
            await asyncio.sleep(pause)
            self._on_gap()

    async def _follow(self) -> str:
        """Runs kopf until it ends; returns the reason."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[str] = loop.create_future()
        hand_over = HandOver(self._handle, loop)
        stop = threading.Event()

        def work() -> None:
            why = _operate(registry(self._inventory, hand_over.put), self._namespaces, stop)
            if not loop.is_closed():
                loop.call_soon_threadsafe(_complete, ended, why)

        threading.Thread(target=work, name="kopf", daemon=True).start()
        try:
            return await ended
        finally:
            stop.set()

    def _report(self, event: Event) -> None:
        self._emit(event)
        if isinstance(event, WatchFound):
            self._on_gap()

    def _handle(self, handle: Handle, raw: Raw) -> None:
        try:
            handle(raw)
        except Exception:  # noqa: BLE001 - whatever one object holds, the next one is handled
            self._emit(Failed(f"an event of {raw.get('kind')}", traceback.format_exc()))


class HandOver:
    """Hands events from kopf's thread to the pipeline's event loop: in order, in batches, one wake-up for many."""

    def __init__(self, handle: Deliver, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = handle
        self._loop = loop
        self._waiting: deque[tuple[Handle, Raw]] = deque()

    def put(self, handle: Handle, raw: Raw) -> None:
        self._waiting.append((handle, raw))
        if len(self._waiting) == 1:  # else the loop will take it: it is already woken, or handles an earlier event
            self._loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        try:
            for _ in range(min(EVENTS_AT_ONCE, len(self._waiting))):
                try:
                    self._handle(*self._waiting[0])
                finally:
                    self._waiting.popleft()  # only now: `put` wakes the loop when it finds the queue empty
        finally:
            if self._waiting:
                self._loop.call_soon(self._take)


def _complete(ended: asyncio.Future[str], why: str) -> None:
    if not ended.done():
        ended.set_result(why)


def registry(inventory: Inventory, deliver: Deliver) -> kopf.OperatorRegistry:
    """`on.event` alone: kopf's other handlers write annotations or finalizers on users' objects. Which Deployments and
    pods are watched is in operator_settings(), as label selectors.
    """
    made = kopf.OperatorRegistry()

    @kopf.on.event(POOLS.group, POOLS.version, POOLS.plural, registry=made)
    async def pool(event: Mapping[str, Any], **_: Any) -> None:
        is_gone = event["type"] == "DELETED"
        deliver(inventory.forget_pool if is_gone else inventory.upsert_pool, event["object"])

    @kopf.on.event(DEPLOYMENTS.group, DEPLOYMENTS.version, DEPLOYMENTS.plural, registry=made)
    async def deployment(event: Mapping[str, Any], **_: Any) -> None:
        is_gone = event["type"] == "DELETED"
        deliver(inventory.forget_deployment if is_gone else inventory.upsert_deployment, event["object"])

    @kopf.on.event(PODS.version, PODS.plural, registry=made)
    async def pod(event: Mapping[str, Any], **_: Any) -> None:
        is_gone = event["type"] == "DELETED"
        deliver(inventory.forget_pod if is_gone else inventory.upsert_pod, event["object"])

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return session_of(connection_info(await load_configuration()))

    return made


def operator_settings() -> kopf.OperatorSettings:
    """Returns kopf's settings: only watches of pools and worker objects. All times are in seconds."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # kopf's own Events
    settings.scanning.disabled = True  # needs rights on CRDs and namespaces that the chart does not grant
    settings.peering.standalone = True  # our own Lease elects the leader
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _EndlessBackoff()
    settings.watching.server_timeout = 300
    settings.watching.inactivity_timeout = 70
    settings.watching.label_selectors[DEPLOYMENTS.group, DEPLOYMENTS.plural] = WORKER_SELECTOR
    settings.watching.label_selectors["", PODS.plural] = WORKER_SELECTOR
    settings.watching.chunk_size = POOLS_AT_ONCE
    # For this time after an event kopf keeps a task, a queue and the object.
    settings.queueing.idle_timeout = 0.1
    settings.persistence.diffbase_storage = _NoDifferences()
    settings.process.ultimate_exiting_timeout = None
    return settings


def connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    """The same way to the API server as our own client's; kopf asks for it again before a token expires."""
    token = configuration.api_key.get("BearerToken") or ""
    scheme, _, secret = token.rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        token=secret or None,
        scheme=scheme or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        expiration=datetime.now(UTC) + timedelta(seconds=LOGIN_SECONDS),
    )


def _operate(made: kopf.OperatorRegistry, namespaces: tuple[str, ...], stop: threading.Event) -> str:
    """Runs kopf until it ends; returns the reason."""
    try:
        run_and_abandon(_operator(made, namespaces, stop))
    except Exception as error:  # noqa: BLE001 - every error is the reason that is reported
        return f"{type(error).__name__}: {error}"
    return "kopf returned"


def run_and_abandon(main: Coroutine[Any, Any, None]) -> None:
    """Runs it in an event loop of its own, and leaves the tasks that it leaves: asyncio.run() would wait for them."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main)
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.set_exception_handler(lambda *_: None)  # else each of these tasks is logged when its memory is freed
        loop.close()


async def _operator(made: kopf.OperatorRegistry, namespaces: tuple[str, ...], stop: threading.Event) -> None:
    others = asyncio.all_tasks()
    try:
        tasks = await kopf.spawn_tasks(
            registry=made,
            settings=operator_settings(),
            memories=_NoMemories(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=list(namespaces),
            stop_flag=stop,
        )
        await end_of(tasks, asyncio.create_task(kopf.run_tasks(tasks, ignored=others)))
    finally:
        stop.set()  # a thread of the loop's executor waits for it, and the loop for that thread
        # kopf closes its connections without waiting; with TLS that takes some iterations of the loop.
        await asyncio.sleep(CLOSING_SECONDS)


async def end_of(
    tasks: Collection[asyncio.Task[None]], ending: asyncio.Task[None], *, seconds: float = ENDING_SECONDS
) -> None:
    """Returns, or raises what ended kopf, once `ending` has ended its tasks; `seconds` after the first at the latest.

    A watch whose connection is closed while kopf gives up asks for another login, which never comes, and takes each
    cancellation for a pause: kopf would wait for it without end, and no event would come any more.
    """
    first, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({ending}, timeout=seconds)
    for task in (ending, *first):
        if task.done() and not task.cancelled():
            task.result()
