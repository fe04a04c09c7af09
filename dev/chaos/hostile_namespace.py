"""A hostile namespace: generated pools that are made, changed and deleted beside the well-behaved ones the whole time.

Their specs hold whatever the API server lets in. A ResourceQuota limits their pods, as in any namespace that is given
to users whom the others don't trust; nothing else of them is limited.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import urllib.error
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from dev.machine.wait import first_true
from dev.stage.api import Api, NoAnswer
from dev.stage.hostile_pools import hostile_pools
from jobtide_controller.kube.api.bounded_json import parse

PAUSE_SECONDS = 0.5  # on average, between two acts
NAMES = 20  # each is made, changed and deleted again and again
MOST_ITEMS = 2_000  # a list of 20,000 faulty items keeps the API server busy for half a minute
ENDLESS = 10**9
DELETED_SHARE = 0.3  # of the acts on a pool that exists
ANSWER_SECONDS = 20.0  # an answer may take long on two busy cores
ANSWERED_WITHIN_SECONDS = 60.0  # the controller has this time for the last pools
FIELD_MANAGER = "hostile"
TYPED_PATCH = b"failed to create typed patch object"


@dataclass(slots=True)
class PoolWriting:
    """What the namespace has done, and what the controller said of it."""

    created: int = 0
    changed: int = 0
    deleted: int = 0
    refused: int = 0  # by the API server
    unanswered: int = 0  # the API server was down, or took too long
    reasons: Counter[str] = field(default_factory=Counter)  # of the condition Ready, at each look at a pool
    silent: tuple[str, ...] = ()  # pools without a condition Ready for their last spec, at the end

    def figures(self) -> dict[str, Any]:
        """All but `silent`, which is a violation."""
        counts = {name: getattr(self, name) for name in ("created", "changed", "deleted", "refused", "unanswered")}
        return {**counts, "reasons": dict(sorted(self.reasons.items()))}


@dataclass(slots=True, kw_only=True)
class HostileNamespace:
    """A thread that applies and deletes pools of one namespace until it is stopped."""

    api: Api
    namespace: str
    seed: int
    writing: PoolWriting = field(default_factory=PoolWriting)
    _bodies: Iterator[tuple[str, str]] = field(init=False)
    _dice: random.Random = field(init=False)
    _stopped: threading.Event = field(init=False, default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._bodies = hostile_pools(ENDLESS, seed=self.seed, most_items=MOST_ITEMS, names=NAMES)
        self._dice = random.Random(f"hostile namespace {self.seed}")
        self._thread = threading.Thread(target=self._run, name="hostile namespace", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last request has its answer."""
        self._stopped.set()
        self._thread.join()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def act(self) -> None:
        """Looks at the next pool, and applies or deletes it. An API server that does not answer is counted."""
        name, body = next(self._bodies)
        try:
            known = self._look(name)
            if known is not None:
                self.writing.reasons[_ready_reason(known)] += 1
            if known is not None and self._dice.random() < DELETED_SHARE:
                self.api.delete(self._path(name), {}, answer_seconds=ANSWER_SECONDS)
                self.writing.deleted += 1
            else:
                self.api.apply(self._path(name), body, manager=FIELD_MANAGER, answer_seconds=ANSWER_SECONDS)
                self.writing.created += known is None
                self.writing.changed += known is not None
        except urllib.error.HTTPError as error:
            is_refused = _is_refusal(error)
            self.writing.refused += is_refused
            self.writing.unanswered += not is_refused
        except NoAnswer:
            self.writing.unanswered += 1

    def wait_for_conditions(self, within_seconds: float = ANSWERED_WITHIN_SECONDS) -> None:
        """Waits until each pool has a condition Ready for its last spec, and notes those that have none."""
        first_true(lambda: not self._note_silent(), within_seconds=within_seconds, poll_seconds=1.0)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.act()
            self._stopped.wait(self._dice.uniform(0, 2 * PAUSE_SECONDS))

    def _note_silent(self) -> tuple[str, ...]:
        names = [f"hostile-{number:04}" for number in range(NAMES)]
        try:
            found = {name: pool for name in names if (pool := self._look(name)) is not None}
        except NoAnswer:
            self.writing.silent = ("the API server does not answer",)
        else:
            self.writing.silent = tuple(name for name, pool in found.items() if not _is_answered(pool))
        return self.writing.silent

    def _look(self, name: str) -> Any | None:
        """The pool, parsed as the controller does: some are nested ten thousand levels deep. None: there is none."""
        try:
            return parse(self.api.read(self._path(name), answer_seconds=ANSWER_SECONDS))
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _path(self, name: str) -> str:
        return f"/apis/jobtide.dev/v1alpha1/namespaces/{self.namespace}/jobworkerpools/{name}"


def quota(namespace: str, pods: int) -> str:
    """The manifest of a ResourceQuota: so many pods at most."""
    metadata = {"name": "hostile", "namespace": namespace}
    return json.dumps(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": str(pods)}}}
    )


@contextlib.contextmanager
def hostile_namespace(one: HostileNamespace) -> Iterator[None]:
    """It writes inside the block."""
    one.start()
    try:
        yield
    finally:
        one.stop()


def _is_refusal(error: urllib.error.HTTPError) -> bool:
    """Whether the body was refused. To server-side apply one that does not fit the schema is an error 500."""
    if error.code == HTTPStatus.INTERNAL_SERVER_ERROR:
        with contextlib.suppress(*NoAnswer):
            return TYPED_PATCH in error.read()
    return HTTPStatus.BAD_REQUEST <= error.code < HTTPStatus.TOO_MANY_REQUESTS


def _ready(pool: Any) -> Any:
    conditions = (pool.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == "Ready"), {})


def _ready_reason(pool: Any) -> str:
    return str(_ready(pool).get("reason", "none yet"))


def _is_answered(pool: Any) -> bool:
    return bool(_ready(pool).get("observedGeneration") == pool["metadata"]["generation"])
