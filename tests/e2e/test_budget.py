"""A connection budget, with the connections that the server counts."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from dev.stage.job_table import NewJob
from dev.stage.postgres import WORKER
from dev.stage.stage import Stage
from tests.e2e.work import Work, wait_for

CONNECTIONS = 8  # two for each worker: four workers
LONGER_THAN_THE_TEST = 100


@pytest.fixture(autouse=True)
def budget(stage: Stage) -> Iterator[None]:
    stage.change(f"databases.main.connectionBudget={CONNECTIONS}")
    yield
    stage.install()


def test_pools_share_a_budget_and_one_gets_what_the_other_releases(work: Work) -> None:
    for name in ("budget-a", "budget-b"):
        work.apply_pool(name, [f"{name}.hold"], jobsPerWorker=1, maxReplicas=10)
        work.kubectl("wait", "--for=condition=Ready", f"jobworkerpool/{name}", "--timeout=120s")
    hold_seconds = {"budget-a": [20] * 4, "budget-b": [LONGER_THAN_THE_TEST] * 10}
    work.table.insert(
        [
            NewJob(uuid4(), work.tenant, f"{name}.hold", {"seconds": seconds})
            for name, each in hold_seconds.items()
            for seconds in each
        ]
    )

    wait_for("two workers each", lambda: ready(work) == (2, 2))
    work.wait_condition("budget-b", "ScalingActive", "False", "CappedByConnections")

    seen: set[int] = set()

    def is_taken_over() -> bool:
        seen.add(connections(work))
        return ready(work) == (0, 4)

    wait_for("the second pool having all four", is_taken_over)
    # At least one for each worker: it opens the second one when a job ends.
    assert CONNECTIONS / 2 <= max(seen) <= CONNECTIONS


def ready(work: Work) -> tuple[int, int]:
    return len(work.ready_pods("budget-a")), len(work.ready_pods("budget-b"))


def connections(work: Work) -> int:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND datname = 'main'"
    with work.stage.postgres.connect("main") as conn:
        return int(conn.execute(statement, [WORKER]).fetchall()[0][0])
