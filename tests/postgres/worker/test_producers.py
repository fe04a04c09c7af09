"""What docs/producers.md shows makes jobs that workers run: from Python, a shell, psql and node-postgres."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from dev.machine import npm
from dev.machine.system import ensure_packages
from tests.pages import PRODUCERS, shown

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
        (tmp_path / "producer.cjs").write_text(shown(PRODUCERS, "node") + CONNECTED.replace("SCRIPT", script))
        ran = subprocess.run(
            ["node", "producer.cjs"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
            env={**os.environ, "DATABASE_URL": database, "NODE_PATH": str(node_modules)},
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


def jobs(connection, columns="type, payload"):
    return connection.execute(f"SELECT {columns} FROM job_queue ORDER BY type, payload::text").fetchall()


def test_a_job_from_python_is_committed_with_the_order_that_needs_it(database, connect, tenant):
    connection = connect()
    connection.execute("CREATE TABLE orders (number int)")
    block = shown(PRODUCERS, "in a transaction").replace("INSERT INTO orders ...", "INSERT INTO orders VALUES (7)")
    exec(block, {"psycopg": psycopg, "DATABASE_URL": database, "tenant": tenant()})
    assert jobs(connection) == [("order.confirm", {"number": 7})]
    assert connection.execute("SELECT number FROM orders").fetchall() == [(7,)]


def test_the_commands_of_the_page_add_their_jobs(database, connect, tmp_path):
    connection = connect()
    for id_, name in (("6f0d3a52-6f8c-4be4-9d4c-0d8f6f1f3f10", ""), ("6f0d3a52-6f8c-4be4-9d4c-0d8f6f1f3f11", "acme")):
        connection.execute("INSERT INTO tenants (id, name) VALUES (%s, %s)", [id_, name])
    (tmp_path / "report.json").write_text('{"month": 11}')
    script = f'jobtide() {{ "{sys.executable}" -m jobtide "$@"; }}\n{shown(PRODUCERS, "from a shell")}'
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env={**os.environ, "JOBTIDE_DATABASE_URL": database},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    added = connection.execute("SELECT type, payload, count(*) FROM job_queue GROUP BY 1, 2 ORDER BY 1").fetchall()
    assert added == [
        ("doc.index", {"document": "abc.py"}, 500),
        ("mail.send", {"to": "a@example.com"}, 1),
        ("report.build", {"month": 11}, 1),
    ]


def test_the_documented_statements_make_jobs_from_psql(psql, connect, tenant):
    owner, connection = tenant(), connect()
    (user,) = connection.execute("INSERT INTO users (tenant_id) VALUES (%s) RETURNING id", [owner]).fetchone()
    for _ in range(2):
        psql(shown(PRODUCERS, "statements"), tenant=str(owner))
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
    wait_until(lambda: len(connection.execute(ended).fetchall()) == 3)
    assert [result for (result,) in connection.execute(ended).fetchall()] == [[1, "ü"], None, {}]


def test_a_worker_runs_what_node_inserted(node, worker, tenant, row, wait_until):
    payload = {"deep": [1, {"ü": None}], "text": "it's $1"}
    id_ = node(f'return enqueue(client, "echo", {json.dumps(payload)}, {{ tenantId: "{tenant()}" }});')
    worker()
    wait_until(lambda: str(row(id_)["status"]) == "completed")
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
