"""The demo's platform on Kubernetes (`make demo-cluster`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from dev.demo.corpus import read_corpus
from dev.demo.platform import Platform
from dev.machine.progress import step
from dev.machine.wait import wait_until
from dev.stage.pools import Snapshot, take_snapshot
from dev.stage.postgres import ClusterPostgres
from dev.stage.stage import DEMO_NAMESPACE, Stage, set_stage

_PLACE = ("--namespace", DEMO_NAMESPACE)


@contextlib.contextmanager
def on_cluster() -> Iterator[Platform]:
    """The cluster that dev/cluster/choose.py finds, with all that the demo needs."""
    stage = set_stage()
    try:
        yield ClusterPlatform(stage)
    finally:
        stage.postgres.close()


@dataclass(frozen=True, slots=True)
class ClusterPlatform:
    """Pods in the namespace of the demo."""

    stage: Stage
    hint: str = "The pools are still there: `kubectl get jwp --namespace demo` (see `make cluster-up`)."

    @property
    def postgres(self) -> ClusterPostgres:
        return self.stage.postgres

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(self.stage.postgres.passwords.values())

    def make_pools(self) -> None:
        """Removes those of an earlier run first."""
        stage = self.stage
        stage.make_namespace(DEMO_NAMESPACE)
        if self.look().workers:
            with step("Waiting for the workers of an earlier run to end", usual="up to 30 s"):
                stage.kubectl("delete", "jobworkerpools", *_PLACE, "--all", "--cascade=foreground", "--timeout", "120s")
                wait_until(
                    "the end of the workers of an earlier run",
                    lambda: not self.look().workers,
                    poll_seconds=0.5,
                    reason=self.state,
                )
        stage.apply_pools(stage.example_pools(), DEMO_NAMESPACE)

    def corpus(self) -> dict[str, bytes]:
        return read_corpus(self.stage.kubectl, self.stage.images.application, DEMO_NAMESPACE)

    def look(self) -> Snapshot:
        return take_snapshot(self.stage.kubectl, DEMO_NAMESPACE)

    def shown(self) -> str:
        return self.stage.kubectl("get", "jwp", *_PLACE)

    def state(self) -> str:
        """The objects and the last events."""
        kubectl = self.stage.kubectl
        objects = kubectl("get", "jwp,deployments,pods", *_PLACE, "-o", "wide")
        return f"{objects}\n{kubectl('get', 'events', *_PLACE, '--sort-by', '.lastTimestamp')[-3000:]}"

    def kill_postgres(self, down_seconds: int) -> None:
        self.stage.postgres.kill(down_seconds=down_seconds)
