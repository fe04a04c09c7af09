"""Writes Kubernetes Events: those of the controller's events that a user looks for in `kubectl describe`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from jobtide_controller.api.base import PoolRef
from jobtide_controller.api.v1alpha1 import API_VERSION, KIND
from jobtide_controller.kube.api.client import EVENTS, ApiError, Json
from jobtide_controller.kube.write.rate_limit import FairRateLimit
from jobtide_controller.kube.write.work_queue import Priority, WriteRequest
from jobtide_controller.telemetry import events

CONTROLLER = "jobtide.dev/controller"
NOTE_LIMIT = 1024  # bytes; the API server refuses longer ones
SAME_SECONDS = 60.0  # the same Event of the same pool is written once in this time
REMEMBERED = 10_000


class EventWriter(Protocol):
    """The part of the writer that the recorder needs."""

    async def create(self, what: str, path: str, body: Json) -> Json: ...


class EventRecorder:
    """A subscriber. Events beyond the rate limit are left out: they inform, the status is the record.

    They wait in the write queue behind everything else. One that is refused is not tried again.
    """

    def __init__(
        self,
        writer: EventWriter,
        emit: events.Emit,
        *,
        submit: Callable[[WriteRequest], None],
        instance: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._emit = emit
        self._submit = submit
        self._instance = instance
        self._monotonic = monotonic
        self._numbers = itertools.count()
        self._rate_limit = FairRateLimit(per_second=5.0, burst=25.0, namespaces=4, monotonic=monotonic)
        self._written: dict[tuple[str, str, str], float] = {}

    def __call__(self, event: events.Event, /) -> None:
        match event:
            case events.Decided(pool, uid, before, after, _, message, _):
                action = "ScaledUp" if after > before else "ScaledDown"
                note = f"{before} -> {after} workers: {message}"
                self._record(pool, uid, action, note, is_warning=False, once=False)
            case events.ReasonChanged(pool, uid, _, good, reason, message):
                self._record(pool, uid, reason, message or reason, is_warning=not good, once=True)
            case events.ObjectRejected(_, pool, uid, message):
                self._record(pool, uid, "InvalidSpec", message, is_warning=True, once=True)
            case events.TypesUnserved(_, types, message, pools) if types:
                for pool, uid in pools:
                    self._record(pool, uid, "TypesUnserved", message, is_warning=True, once=True)
            case _:
                pass

    def _record(self, pool: PoolRef, uid: str, reason: str, note: str, *, is_warning: bool, once: bool) -> None:
        key = (uid, reason, note)
        if once and self._is_repeated(key):
            return
        if not self._rate_limit.try_take(pool.namespace):
            return
        if once:
            self._remember(key)
        body = _event(pool, uid, reason, note, is_warning=is_warning, instance=self._instance)
        number = f"event {next(self._numbers)}"
        self._submit(WriteRequest(number, pool, "event", Priority.EVENT, lambda: self._send(pool, body)))

    def _is_repeated(self, key: tuple[str, str, str]) -> bool:
        written_at = self._written.get(key)
        return written_at is not None and self._monotonic() - written_at < SAME_SECONDS

    def _remember(self, key: tuple[str, str, str]) -> None:
        if len(self._written) >= REMEMBERED:
            self._written.clear()
        self._written[key] = self._monotonic()

    async def _send(self, pool: PoolRef, body: Json) -> None:
        """Raises NotLeadingError: the new leader emits the same."""
        try:
            await self._writer.create("event", EVENTS.path(pool.namespace), body)
        except ApiError as error:
            if not error.namespace_ends:
                self._emit(events.EventRefused(pool, str(error)))


def _event(pool: PoolRef, uid: str, reason: str, note: str, *, is_warning: bool, instance: str) -> Json:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{pool.name}-", "namespace": pool.namespace},
        "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": "Warning" if is_warning else "Normal",
        "reason": reason[:128],
        "action": "Scale" if reason.startswith("Scaled") else "Report",
        "note": note.encode()[:NOTE_LIMIT].decode(errors="ignore"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": pool.namespace,
            "name": pool.name,
            "uid": uid,
        },
    }
