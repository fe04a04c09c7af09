"""What the demo needs of the place where its pools and workers run: a cluster, or this machine."""

from __future__ import annotations

from typing import Protocol

from dev.stage.job_table import Databases
from dev.stage.pools import Snapshot


class Platform(Protocol):
    """Runs the pools of examples/01-first-pool, beside one PostgreSQL."""

    @property
    def hint(self) -> str:
        """For the end of a demo: how to see the same elsewhere."""
        ...

    @property
    def postgres(self) -> Databases: ...

    def make_pools(self) -> None:
        """The pools exist afterwards, without workers. The table has no jobs of theirs."""
        ...

    def corpus(self) -> dict[str, bytes]:
        """The files that the workers read: name, relative to the library, -> content."""
        ...

    def look(self) -> Snapshot:
        """The pools and their workers now."""
        ...

    def shown(self) -> str:
        """The pools as `kubectl get jwp` prints them."""
        ...

    def state(self) -> str:
        """For an error: everything that may explain it."""
        ...

    def kill_postgres(self, down_seconds: int) -> None:
        """SIGKILL to the server, which starts again after so many seconds."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """Passwords, which no message may contain."""
        ...
