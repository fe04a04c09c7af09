"""Plain INSERT is an API: what docs/producers.md shows for psql and node-postgres makes jobs that workers run."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dev.machine import npm
from dev.machine.system import ensure_packages

ROOT = Path(__file__).parents[3]
PACKAGES = Path(__file__).parent / "producers"
CONNECTED = """
(async () => {
  const client = new Client({ connectionString: process.env.DATABASE_URL });
  await client.connect();
  try {
    console.log(JSON.stringify(await (async () => { SCRIPT })()));
  } finally {
    await client.end();
  }
})().catch((error) => { console.error(error); process.exit(1); });
"""


def documented(language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs/producers.md").read_text(), re.DOTALL)
    return block


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """node-postgres as the lock file has it: its digests are checked, wherever it comes from."""
    return npm.node_modules(PACKAGES)


@pytest.fixture
def psql(database):
    ensure_packages({"postgresql-client": "psql"})

    def run(script: str, **variables: str) -> str:
        settings = [f"--set={name}={value}" for name, value in {"ON_ERROR_STOP": "1", **variables}.items()]
        command = ["psql", "--no-psqlrc", "--quiet", *settings, database]
        return subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout

    return run


@pytest.fixture
def node(database, node_modules, tmp_path):
    """Runs the documented functions and then a script that returns a JSON value."""

    def run(script: str):
        (tmp_path / "producer.cjs").write_text(documented("javascript") + CONNECTED.replace("SCRIPT", script))
        ran = subprocess.run(
            ["node", "producer.cjs"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
            env={**os.environ, "DATABASE_URL": database, "NODE_PATH": str(node_modules)},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


def jobs(connection, columns="type, payload"):
    return connection.execute(f"SELECT {columns} FROM job_queue ORDER BY type, payload::text").fetchall()


def test_the_documented_statements_make_jobs_from_psql(psql, connect, tenant):
    owner, connection = tenant(), connect()
    (user,) = connection.execute("INSERT INTO users (tenant_id) VALUES (%s) RETURNING id", [owner]).fetchone()
    for _ in range(2):
        psql(documented("sql"), tenant=str(owner))
    assert jobs(connection) == [
        ("invoice.send", {"number": "2026-0042"}),  # once
        *[("mail.send", {"to": "a@example.com"})] * 2,
        *[("mail.send", {"to": "b@example.com"})] * 2,
        *[("welcome.send", {"user": str(user)})] * 2,
    ]
    scheduled = "SELECT count(*) FROM job_queue WHERE next_retry_at > now() + interval '59 minutes'"
    assert connection.execute(scheduled).fetchone() == (2,)


def test_a_worker_runs_what_psql_inserted(psql, worker, tenant, connect, wait_until):
    owner, connection = tenant(), connect()
    psql("INSERT INTO job_queue (tenant_id, type, payload) VALUES (:'tenant', 'echo', '[1, \"ü\"]')", tenant=str(owner))
    psql("INSERT INTO job_queue (tenant_id, type) VALUES (:'tenant', 'echo')", tenant=str(owner))
    psql("INSERT INTO job_queue (tenant_id, type, payload) VALUES (:'tenant', 'echo', NULL)", tenant=str(owner))
    worker()
    ended = "SELECT result FROM job_queue WHERE status = 'completed' ORDER BY result::text"
    wait_until(lambda: len(connection.execute(ended).fetchall()) == 3, seconds=30)
    assert [result for (result,) in connection.execute(ended).fetchall()] == [[1, "ü"], None, {}]


def test_a_worker_runs_what_node_inserted(node, worker, tenant, row, wait_until):
    payload = {"deep": [1, {"ü": None}], "text": "it's $1"}
    id_ = node(f'return enqueue(client, "echo", {json.dumps(payload)}, {{ tenantId: "{tenant()}" }});')
    worker()
    wait_until(lambda: str(row(id_)["status"]) == "completed", seconds=30)
    assert row(id_)["result"] == payload


@pytest.mark.parametrize("payload", [[1, 2], [], "text", 7, None, {"a": [{"b": 1}]}], ids=str)
def test_node_stores_any_json_value(node, tenant, row, payload):
    id_ = node(f'return enqueue(client, "echo", {json.dumps(payload)}, {{ tenantId: "{tenant()}" }});')
    assert row(id_)["payload"] == payload


def test_node_schedules_and_inserts_an_id_once(node, tenant, row):
    at = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    options = (
        f'{{ tenantId: "{tenant()}", id: "11111111-1111-4111-8111-111111111111", runAt: new Date("{at.isoformat()}") }}'
    )
    first, second = node(
        f'return [await enqueue(client, "t", 1, {options}), await enqueue(client, "t", 2, {options})];'
    )
    assert (first, second) == ("11111111-1111-4111-8111-111111111111", None)
    assert (row(first)["payload"], row(first)["next_retry_at"]) == (1, at)


def test_nodes_job_is_committed_with_its_order_or_not_at_all(node, connect, tenant):
    connection = connect()
    connection.execute("CREATE TABLE orders (number int UNIQUE)")
    script = f"""
        const first = await placeOrder(client, "{tenant()}", 7);
        const second = await placeOrder(client, "{tenant()}", 7).catch((error) => error.code);
        return [first, second];
    """
    first, second = node(script)
    assert second == "23505"
    assert [str(id_) for (id_,) in jobs(connection, "id")] == [first]
