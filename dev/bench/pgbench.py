"""The worker's claim and finish statements under pgbench: their cost without Python."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from uuid import UUID

from dev.bench.table import Table
from dev.machine.shell import run
from jobtide.sql import load

SECONDS = 3
TENANTS = 20
_LAST = UUID(int=(1 << 128) - 1)


def jobs_per_second_of_pgbench(table: Table, batch: int, jobs: int) -> float:
    """One client that claims and finishes `batch` jobs in a loop, with prepared statements."""
    table.refill("bench", jobs * 4, table.tenants(TENANTS))  # enough for all its seconds
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "claim_and_finish.sql")
        script.write_text(claim_and_finish(batch))
        script.chmod(0o644)
        run([
            table.server.bin / "pgbench", "--no-vacuum", "--protocol=prepared", f"--time={SECONDS}",
            f"--file={script}", table.url,
        ])  # fmt: skip
    row = table.connection.execute(
        """SELECT count(*), extract(EPOCH FROM max(completed_at) - min(completed_at))::float8
           FROM job_queue WHERE status = 'completed'"""
    ).fetchone()
    assert row is not None
    finished, seconds = row
    if finished >= jobs * 4:
        raise RuntimeError(f"pgbench finished all of {finished} jobs within {SECONDS} s: fill more")
    return float(finished / seconds)


def claim_and_finish(batch: int) -> str:
    """`claim` returns rows; pgbench can keep only one row, so this one returns arrays."""
    walk = load("jobtide.sql", "claim").partition("\nSELECT\nclaimed.id")[0]
    claim = walk + "\nSELECT array_agg(claimed.id) AS ids, count(*) AS jobs, array_agg(claimed.payload) AS payloads"
    claim += ", array_agg(claimed.attempts) AS attempts FROM claimed INNER JOIN candidate ON claimed.id = candidate.id"
    claim = _filled(claim, {
        "types": "'{bench}'", "firsts": f"'{{{UUID(int=0)}}}'", "lasts": f"'{{{_LAST}}}'",
        "excluded": "'{}'", "sinces": "'{NULL}'", "since_ids": "'{NULL}'", "wanted": str(batch),
        "rows_per_key": str(-(-batch // TENANTS)),
        "token": "'jobtide-pgbench-1'", "lease_seconds": "600",
    })  # fmt: skip
    finish = _filled(load("jobtide.sql", "finish"), {
        "ids": ":ids", "tokens": "array_fill('jobtide-pgbench-1'::text, ARRAY[:jobs::int])", "attempts": ":attempts",
        "statuses": "array_fill('completed'::text, ARRAY[:jobs::int])",
        "results": "array_fill('null'::text, ARRAY[:jobs::int])",
        "delays": "array_fill(NULL::float8, ARRAY[:jobs::int])",
        "gives_back": "array_fill(FALSE, ARRAY[:jobs::int])",
    })  # fmt: skip
    return f"{claim}\n\\gset\n{finish}\n;\n"


def _filled(statement: str, values: dict[str, str]) -> str:
    return re.sub(r"%\((\w+)\)s", lambda match: values[match[1]], statement)
