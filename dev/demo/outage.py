"""PostgreSQL killed in the middle: what must be seen while it is away, and that it is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dev.stage.pools import Snapshot

REACHABLE = "DatabaseReachable"


@dataclass(slots=True)
class Outage:
    """Fed with every snapshot. Kills once workers are at work, then watches that the fleet is held."""

    kill: Callable[[], None]
    secrets: Iterable[str]  # what no message may show
    killed: bool = False
    over: bool = False
    words: dict[str, str] = field(default_factory=dict)  # per pool: what its condition said
    faults: list[str] = field(default_factory=list)
    _held: dict[str, tuple[int, int]] = field(default_factory=dict)  # per pool: desired and workers when it went blind

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
                self._hear(pool.name, pool.conditions[REACHABLE].message)
        every_pool_knew = len(self.words) == len(snapshot.pools)
        self.over = every_pool_knew and all(pool.is_(REACHABLE, "True") for pool in snapshot.pools)

    def verdict(self) -> list[str]:
        """What was not as it must be."""
        if not self.killed:
            return ["PostgreSQL was never killed: no worker was ready while there was work; try more JOBS"]
        unheard = [] if self.over else [f"not every pool went {REACHABLE}=False and back to True: said {self.words}"]
        return [*self.faults, *unheard]

    def _hold(self, pool: str, desired: int, workers: int) -> None:
        wanted, had = self._held.setdefault(pool, (desired, workers))
        if desired < wanted or workers < had:
            fault = f"pool {pool} went from {wanted} desired, {had} workers to {desired}, {workers} while blind"
            if fault not in self.faults:
                self.faults.append(fault)

    def _hear(self, pool: str, message: str) -> None:
        self.words[pool] = message
        if not message:
            self.faults.append(f"pool {pool} says {REACHABLE}=False and not why")
        if any(secret in message for secret in self.secrets):
            self.faults.append(f"pool {pool} shows a password in its condition {REACHABLE}")
