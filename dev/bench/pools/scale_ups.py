"""When each Deployment got its first worker, as a watch of the API server sees it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from time import monotonic
from types import TracebackType
from typing import Self

from dev.bench.pools.cluster import Cluster, pool_name
from dev.machine.wait import wait_until
from dev.stage.api import Api, NoAnswer

DEPLOYMENTS = "/apis/apps/v1/deployments"


class ScaleUps(AbstractContextManager["ScaleUps"]):
    """Watches from `with` on. It holds no list: ten thousand Deployments would be half a gigabyte."""

    def __init__(self, cluster: Cluster) -> None:
        self.at: dict[str, float] = {}  # monotonic, by the Deployment's name
        self._api = Api(cluster.plane.url, cluster.plane.credentials)
        self._ended = False

    def __enter__(self) -> Self:
        version = self._api.get(f"{DEPLOYMENTS}?limit=1")["metadata"]["resourceVersion"]
        threading.Thread(target=self._follow, args=(version,), name="scale-ups", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended = True

    def last_of(self, numbers: Iterable[int], *, within_seconds: float = 120.0) -> float:
        """Waits until all these pools have workers; returns when the last one got them. Raises DevError."""
        names = {f"{pool_name(number)}-worker" for number in numbers}
        wait_until(
            f"workers of {len(names):,} pools",
            lambda: names <= self.at.keys(),
            within_seconds=within_seconds,
            reason=lambda: f"{len(names & self.at.keys()):,} pools have some",
        )
        return max(self.at[name] for name in names)

    def _follow(self, version: str) -> None:
        with suppress(*NoAnswer):  # no event for a while: what was waited for has come, or `last_of` says what has not
            for event in self._api.lines(f"{DEPLOYMENTS}?watch=true&resourceVersion={version}"):
                if self._ended:
                    return
                found = event["object"]
                if found["spec"]["replicas"]:
                    self.at.setdefault(found["metadata"]["name"], monotonic())
