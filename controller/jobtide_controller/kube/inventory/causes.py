"""Asks why pods don't become ready: their Events, and the worker itself. Bounded, and only for pods that wait.

Most of what keeps a pod from starting is not in its status: a missing Secret is an Event, a wrong password is known to
the worker alone. Of each pool the pod that has waited longest is asked for, with one list of the Events of that pod,
and one GET of its worker's /readyz if the worker runs:

| the pod waits for | it is asked for |
|---|---|
| under 5 s | not at all |
| longer | every 5 s, then after a quarter of the time that it has waited, at least every minute |
"""

from __future__ import annotations

import asyncio
import io
import time
import traceback
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from typing import NoReturn
from urllib.parse import urlsplit

from jobtide_controller.kube.api.client import EVENTS, Api, ApiError, Json
from jobtide_controller.kube.inventory.pod_trouble import Stage, cause_of
from jobtide_controller.kube.inventory.pod_words import WORDS_LIMIT
from jobtide_controller.kube.inventory.pods import WaitingPod
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.telemetry.events import Emit, Failed, RelistFailed

PASS_SECONDS = 2.5
PODS_PER_PASS = 10  # four lists a second, whatever goes wrong in the cluster
EVENTS_READ = 50  # of one pod
LOOK_SECONDS = (5.0, 60.0)  # the shortest and the longest time between two looks at one pod
ANSWER_SECONDS, ANSWER_BYTES = 2.0, 8_192

STUCK_SECONDS = 20.0
# An application may import for long: a worker that does not answer yet has this time, or three times a known start.
SLOW_START_SECONDS = 60.0


class Causes:
    """`run_once()` is one pass; it writes into the inventory."""

    def __init__(
        self,
        api: Api,
        inventory: Inventory,
        emit: Emit,
        *,
        leading: Callable[[], bool],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._inventory = inventory
        self._emit = emit
        self._leading = leading
        self._wall_clock = wall_clock
        self._look_at: dict[tuple[str, Stage], float] = {}  # by pod UID and stage: when it is asked for next
        self._refusals: dict[str, str] = {}  # by namespace: why Events could not be listed; reported once

    async def run(self) -> NoReturn:
        """Runs until cancelled; a bug costs a pass."""
        while True:
            try:
                await self.run_once()
            except Exception:  # noqa: BLE001 - it is emitted with its traceback, and counted
                self._emit(Failed("asking why pods are not ready", traceback.format_exc()))
            await asyncio.sleep(PASS_SECONDS)

    async def run_once(self) -> None:
        """Asks for the pods that are due."""
        if not self._leading():
            return
        now = self._wall_clock()
        waiting = [pod for pod in self._inventory.pods.waiting() if self._inventory.pools.by_ref(pod.pool) is not None]
        first_seconds, longest = LOOK_SECONDS
        self._look_at = {pod.key: self._look_at.get(pod.key, pod.wait.since + first_seconds) for pod in waiting}
        chosen = self._fairly([pod for pod in waiting if self._look_at[pod.key] <= now])[:PODS_PER_PASS]
        for pod in chosen:
            self._look_at[pod.key] = now + longest  # also if the look ends with an error
        await asyncio.gather(*map(self._look, chosen))

    def _fairly(self, due: list[WaitingPod]) -> list[WaitingPod]:
        """The longest overdue of each namespace first, then the second of each: one namespace delays no other."""
        ranks: Counter[str] = Counter()
        ranked: list[tuple[int, WaitingPod]] = []
        for pod in sorted(due, key=lambda pod: self._look_at[pod.key]):
            ranked.append((ranks[pod.pool.namespace], pod))
            ranks[pod.pool.namespace] += 1
        return [pod for _, pod in sorted(ranked, key=lambda entry: entry[0])]

    async def _look(self, pod: WaitingPod) -> None:
        wait = pod.wait
        events = await self._events(pod)
        answer = None if wait.ready_url is None else await _answer(wait.ready_url)
        cause, is_failure = cause_of(wait, events, answer)
        now = self._wall_clock()
        failed_at = wait.since + self._patience_seconds(pod)  # if it is a failure
        self._inventory.note_cause(pod.uid, wait, cause, stuck=is_failure and now >= failed_at)
        shortest, longest = LOOK_SECONDS
        look_at = now + min(longest, max(shortest, (now - wait.since) / 4))
        self._look_at[pod.key] = min(look_at, failed_at) if now < failed_at else look_at

    def _patience_seconds(self, pod: WaitingPod) -> float:
        if pod.wait.step.stage is not Stage.STARTING:
            return STUCK_SECONDS
        pods = self._inventory.pods
        return max(SLOW_START_SECONDS, 3 * pods.start_seconds(pod.pool) if pods.start_known(pod.pool) else 0.0)

    async def _events(self, pod: WaitingPod) -> list[Json]:
        """None of them without the right to list Events: the pod's status has to do then."""
        query = {"fieldSelector": f"regarding.uid={pod.uid}", "limit": str(EVENTS_READ)}
        try:
            page = await self._api.request("GET", EVENTS.path(pod.pool.namespace), query=query)
        except ApiError as error:
            if self._refusals.get(pod.pool.namespace) != str(error):
                self._emit(RelistFailed("events", str(error)))
            self._refusals[pod.pool.namespace] = str(error)
            return []
        self._refusals.pop(pod.pool.namespace, None)
        return page.get("items") or []


async def _answer(url: str) -> str | None:
    """What a worker says that is not ready; None if it can't be asked: a NetworkPolicy, or a template of its own."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            raw = await _first_bytes(url)
        return _words(raw)
    except (HTTPException, OSError, TimeoutError, ValueError):
        return None


async def _first_bytes(url: str) -> bytes:
    """The beginning of the answer. A pod may answer without end, and a library reads headers as long as they come."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=ANSWER_BYTES)
    try:
        writer.write(f"GET {where.path} HTTP/1.0\r\nHost: {where.netloc}\r\n\r\n".encode())
        raw = b""
        while len(raw) < ANSWER_BYTES and (more := await reader.read(ANSWER_BYTES - len(raw))):
            raw += more
        return raw
    finally:
        writer.transport.abort()


def _words(raw: bytes) -> str | None:
    answer = HTTPResponse(_Received(raw))  # type: ignore[arg-type]
    answer.begin()
    if answer.status != HTTPStatus.SERVICE_UNAVAILABLE or answer.headers.get_content_type() != "text/plain":
        return None
    return answer.read1(4 * WORDS_LIMIT).decode(errors="replace").strip() or None


class _Received:
    """What was received, as the part of a socket that http.client needs."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._raw))
