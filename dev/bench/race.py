"""Runs the queues of a comparison in turn; one that fails is left out with its reason, without spoiling the others."""

from __future__ import annotations

from collections.abc import Callable

from dev.bench.peers.catalogue import JOBTIDE, PEERS
from dev.bench.peers.contender import Contender, Runner, database_url
from dev.bench.table import Table
from dev.machine.errors import DevError


class Race:
    """The runners that are left, and the reason of each one that is not. A failure of Jobtide itself is raised."""

    def __init__(self, table: Table) -> None:
        self.missing: dict[str, str] = {}
        self.runners: list[Runner] = []
        for contender in (JOBTIDE, *PEERS):
            runner = Runner(contender, database_url(table.connection, table.server.url, contender))
            self.runners.append(runner)
            self.attempt(runner, lambda runner=runner: runner.prepare(0))  # type: ignore[misc]

    def attempt(self, runner: Runner, act: Callable[[], None]) -> None:
        """Runs `act`; if it fails, the queue takes no further part."""
        try:
            act()
        except (DevError, OSError, ValueError) as error:
            if runner.contender is JOBTIDE:
                raise
            self.drop(runner.contender, str(error))

    def drop(self, contender: Contender, reason: str) -> None:
        print(f"{contender.name} is left out: {reason}", flush=True)
        self.missing[contender.name] = reason
        self.runners = [runner for runner in self.runners if runner.contender is not contender]
