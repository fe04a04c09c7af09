"""What the wake-up costs producers: plain inserts at full rate, with the trigger and without, while no worker rests."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.bench.figures import Figure, median_and_spread
from dev.bench.settle import until_settled
from dev.bench.table import Table
from dev.machine.shell import run
from jobtide.queue.rest import Rest
from jobtide.queue.session import Session
from jobtide.schema.script import WAKE_TRIGGER

PRODUCERS = (1, 8, 32)
AT_MOST = 9
SECONDS = 2
GOAL = 0.95
EMPTY = "empty"
_INSERT = "INSERT INTO job_queue (tenant_id, type, payload) VALUES ('{tenant}', 'bench', '{{\"number\": 1}}');\n"


def measure(table: Table) -> list[Figure]:
    """Inserts per second with the trigger over those without, in turn, for 1, 8 and 32 connections."""
    (tenant,) = table.tenants(1)
    figures = [_figure(table, producers, str(tenant), "no worker rests") for producers in PRODUCERS]
    with _one_rests(table):
        figures.append(_figure(table, PRODUCERS[1], str(tenant), "a worker of another type rests"))
    with _empty_trigger(table):
        figures.append(_figure(table, PRODUCERS[1], str(tenant), "an empty trigger instead", EMPTY))
    return figures


def _figure(table: Table, producers: int, tenant: str, who: str, trigger: str = WAKE_TRIGGER) -> Figure:
    ratios: list[float] = []
    for number in until_settled(ratios, at_most=AT_MOST):
        per_second = {}
        for state in ("ENABLE", "DISABLE") if number % 2 else ("DISABLE", "ENABLE"):
            table.connection.execute(f"ALTER TABLE job_queue {state} TRIGGER {trigger}")
            per_second[state] = _inserts_per_second(table, producers, tenant)
        ratios.append(per_second["ENABLE"] / per_second["DISABLE"])
    table.connection.execute(f"ALTER TABLE job_queue ENABLE TRIGGER {trigger}")
    ratio, spread = median_and_spread(ratios)
    plural = "producer" if producers == 1 else "producers"
    goal = None if trigger == EMPTY else GOAL
    return Figure(
        f"inserts/s with the trigger over without, {producers} {plural}", ratio, "x", goal, "higher",
        f"pgbench, one row a commit, {who}; {len(ratios)} pairs of {SECONDS} s", spread,
    )  # fmt: skip


@contextmanager
def _empty_trigger(table: Table) -> Iterator[None]:
    """What any trigger with the rows of the statement costs, and so the least that this one can."""
    run = table.connection.execute
    run("ALTER TABLE job_queue DISABLE TRIGGER jobtide_wake")
    run("CREATE FUNCTION empty() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    run(
        "CREATE TRIGGER empty AFTER INSERT ON job_queue REFERENCING NEW TABLE AS inserted "
        "FOR EACH STATEMENT EXECUTE FUNCTION empty()"
    )
    yield
    run("DROP TRIGGER empty ON job_queue")
    run("DROP FUNCTION empty()")
    run("ALTER TABLE job_queue ENABLE TRIGGER jobtide_wake")


@contextmanager
def _one_rests(table: Table) -> Iterator[None]:
    session = Session(lambda: table.url)
    Rest(session, ["another"]).begin()
    yield
    session.close()


def _inserts_per_second(table: Table, producers: int, tenant: str) -> float:
    table.connection.execute("TRUNCATE job_queue")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "insert.sql")
        script.write_text(_INSERT.format(tenant=tenant))
        script.chmod(0o644)
        Path(folder).chmod(0o755)
        output = run([
            table.server.bin / "pgbench", "--no-vacuum", "--protocol=prepared", f"--time={SECONDS}",
            f"--client={producers}", f"--file={script}", table.url,
        ])  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", output)
    assert found is not None, output
    return float(found[1])
