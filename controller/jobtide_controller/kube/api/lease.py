"""Elects a leader among several controllers: its holder gives up the lease before another may take it.

              take (free, released, or unchanged for lease_seconds by our own clock)
    FOLLOWING ------------------------------------------------------------------------> LEADING
        ^                                                                                  |
        |   renewed by another; or no renewal was confirmed for hold_seconds               |
        +----------------------------------------------------------------------------------+

No two clocks are compared. A follower counts from the moment it saw the lease change, which is after the holder sent
that change; the holder counts from the moment it sent it. With hold_seconds < lease_seconds the holder has stopped
before another may start, and each request that it had sent was answered or cut off:

    leader    |send ---- hold 5 s ----| last write, at most 2.5 s |
    follower    |sees ---------------- lease 8 s ----------------| takes

To cut off means: client.WRITE_SECONDS after a write began, its connection is reset (connection.py), so that neither TLS
nor the kernel sends any more of it. The API server gets the same limit and gives up too. A proxy between the two may
still deliver a write late. Therefore each write names the resourceVersion that it was decided from (apply.py), and is
refused if the successor or another client has written since.

Each change of the lease carries the resourceVersion that was read, so that one of two takers is refused.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from jobtide_controller.kube.api.client import LEASES, ApiError, Json
from jobtide_controller.telemetry.events import Emit, LeaderChanged, LeaseFailed


class LeaseApi(Protocol):
    """The part of the API client that the elector needs; `request` raises ApiError."""

    async def request(self, method: str, path: str, *, body: Json | None = None, timeout_seconds: float) -> Json: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """Takeover after a crash: lease_seconds and one poll, 9 s. After a release: one poll.

    One renewal may fail, even without an answer: renew + request + retry leave time for another within hold.
    """

    lease_seconds: float = 8.0
    hold_seconds: float = 5.0
    renew_seconds: float = 2.0
    retry_seconds: float = 0.5
    poll_seconds: float = 0.7
    request_seconds: float = 1.5


class Elector:
    """Ask `held()` before every write. `step()` is one pass, `run()` repeats it."""

    def __init__(
        self,
        api: LeaseApi,
        emit: Emit,
        *,
        namespace: str,
        name: str,
        identity: str,
        timing: Timing = Timing(),
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.terms = 0  # times that the lease became ours, after another controller or a lapse
        self._api = api
        self._emit = emit
        self._path = LEASES.path(namespace, name)
        self._collection = LEASES.path(namespace)
        self._metadata = {"name": name, "namespace": namespace}
        self._identity = identity
        self._timing = timing
        self._monotonic = monotonic
        self._wall_clock = wall_clock
        self._leading = False
        self._held_until = 0.0
        self._resigned_in_time = False
        self._holder: str | None = None  # another controller, as last seen
        self._trouble: str | None = None  # reported once, however long it lasts
        self._ours: Json | None = None  # the lease as our last change left it
        self._seen: tuple[object, ...] | None = None
        self._seen_at = 0.0

    def held(self) -> bool:
        """True while this controller may write. Needs no request: it expires by itself."""
        return self._leading and self._monotonic() < self._held_until

    @property
    def leader(self) -> str | None:
        """The name in the lease as last seen; None: no controller has it, or it was not read yet."""
        return self._identity if self.held() else self._holder

    def term(self) -> int | None:
        """The number of the term that we lead now, counted from 1; None: we may not write."""
        return self.terms if self.held() else None

    async def run(self) -> None:
        while True:
            pause = await self.step()
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - spreads pollers

    async def step(self) -> float:
        """Renews the lease, takes it, or looks at it; returns the seconds until the next pass."""
        trouble = None
        try:
            async with asyncio.timeout(self._timing.request_seconds):
                await self._advance()
        except ApiError as error:
            trouble = str(error)
        except TimeoutError:
            trouble = f"no answer within {self._timing.request_seconds:g} s"
        if trouble is not None and trouble != self._trouble:
            self._emit(LeaseFailed(trouble))
        self._trouble = trouble
        if self._leading and not self.held():
            self._follow("no renewal was confirmed in time")
        if not self._leading:
            return self._timing.poll_seconds
        return self._timing.retry_seconds if trouble else self._timing.renew_seconds

    def resign(self) -> None:
        """Begins no more writes. No other controller takes over before `release`, so writes in flight can end."""
        if self._leading:
            self._resigned_in_time = self.held()
            self._follow("asked to stop")

    async def release(self) -> None:
        """Lets another controller take over at once. No write may follow."""
        self.resign()
        if not self._resigned_in_time:
            return
        self._resigned_in_time = False
        try:
            lease = await self._get()
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._put({**lease, "spec": spec})
        except ApiError as error:
            self._emit(LeaseFailed(f"not released, it expires by itself: {error}"))

    async def _advance(self) -> None:
        if self._ours is not None:
            ours, self._ours = self._ours, None
            if await self._take(ours):  # one request if nothing has changed
                return
        lease = await self._get()
        holder = None if lease is None else lease["spec"].get("holderIdentity")
        self._holder = holder if holder != self._identity else None
        if lease is None:
            await self._take(None)
        elif lease["spec"].get("holderIdentity") == self._identity:
            await self._take(lease)
        else:
            if self._leading:
                self._follow(f"{lease['spec'].get('holderIdentity') or 'no controller'} has the lease")
            if self._is_free(lease):
                await self._take(lease)

    def _is_free(self, lease: Json) -> bool:
        spec = lease["spec"]
        if not spec.get("holderIdentity"):
            return True
        seen = (lease["metadata"].get("resourceVersion"), spec.get("holderIdentity"), spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._monotonic()
        # Its holder may be configured with a longer time than we are.
        wait = max(self._timing.lease_seconds, float(spec.get("leaseDurationSeconds") or 0))
        return self._monotonic() - self._seen_at >= wait

    async def _take(self, lease: Json | None) -> bool:
        """Writes our identity into the lease, a renewal if it is ours already; False if another client was faster."""
        sent_at = self._monotonic()
        try:
            if lease is None:
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": self._metadata}
                self._ours = await self._post({**body, "spec": self._spec({})})
            else:
                self._ours = await self._put({**lease, "spec": self._spec(lease["spec"])})
        except ApiError as error:
            if not error.conflict:
                raise
            return False
        if not self.held():
            self.terms += 1  # also after a lapse that no other controller used: writes were dropped in it
        self._held_until = sent_at + self._timing.hold_seconds
        if not self._leading:
            self._leading = True
            self._emit(LeaderChanged(leading=True, why=f"took the lease as {self._identity}"))
        return True

    def _spec(self, before: Json) -> Json:
        now = datetime.fromtimestamp(self._wall_clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = before.get("holderIdentity") == self._identity
        renewed: dict[str, Any] = {
            **before,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._timing.lease_seconds),
            "renewTime": now,
        }
        if ours:
            return renewed
        return {**renewed, "acquireTime": now, "leaseTransitions": int(before.get("leaseTransitions") or 0) + 1}

    def _follow(self, why: str) -> None:
        self._leading = False
        self._ours = None
        self._seen = None
        self._emit(LeaderChanged(leading=False, why=why))

    async def _get(self) -> Json | None:
        try:
            return await self._api.request("GET", self._path, timeout_seconds=self._timing.request_seconds)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def _put(self, lease: Json) -> Json:
        return await self._api.request("PUT", self._path, body=lease, timeout_seconds=self._timing.request_seconds)

    async def _post(self, lease: Json) -> Json:
        return await self._api.request(
            "POST", self._collection, body=lease, timeout_seconds=self._timing.request_seconds
        )
