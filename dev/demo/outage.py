"""PostgreSQL is killed in the middle of the demo: checks what the pools show while it is down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dev.stage.pools import Snapshot

REACHABLE = "DatabaseReachable"


@dataclass(slots=True)
class Outage:
    """Receives every snapshot. Kills the server once a worker is ready, then checks that no pool loses workers."""

    kill: Callable[[], None]
    secrets: Iterable[str]  # no message may contain them
    killed: bool = False
    over: bool = False
    words: dict[str, str] = field(default_factory=dict)  # per pool: the message of its condition
    faults: list[str] = field(default_factory=list)
    _held: dict[str, tuple[int, int]] = field(default_factory=dict)  # desired and workers at its start

    def watch(self, snapshot: Snapshot) -> None:
        if self.over:
            return
        if not self.killed:
            if snapshot.ready and any(pool.workers for pool in snapshot.pools):
                self.kill()
                self.killed = True
            return
        for pool in snapshot.pools:
            if pool.is_(REACHABLE, "False"):
                self._hold(pool.name, pool.desired, pool.workers)
                self._check_message(pool.name, pool.conditions[REACHABLE].message)
        every_pool_noticed = len(self.words) == len(snapshot.pools)
        self.over = every_pool_noticed and all(pool.is_(REACHABLE, "True") for pool in snapshot.pools)

    def verdict(self) -> list[str]:
        """All faults, one sentence each."""
        if not self.killed:
            return ["PostgreSQL was never killed: no worker was ready while there was work; try more JOBS"]
        if self.over:
            return self.faults
        return [*self.faults, f"not every pool went to {REACHABLE}=False and back to True: {self.words}"]

    def _hold(self, pool: str, desired: int, workers: int) -> None:
        desired_before, workers_before = self._held.setdefault(pool, (desired, workers))
        if desired < desired_before or workers < workers_before:
            before = f"{desired_before} desired, {workers_before} workers"
            fault = f"pool {pool} went from {before} to {desired}, {workers} while its database was unreachable"
            if fault not in self.faults:
                self.faults.append(fault)

    def _check_message(self, pool: str, message: str) -> None:
        self.words[pool] = message
        if not message:
            self.faults.append(f"pool {pool} shows {REACHABLE}=False without a reason")
        if any(secret in message for secret in self.secrets):
            self.faults.append(f"pool {pool} shows a password in its condition {REACHABLE}")
