"""docs/coming-from.md is true: its statements move the waiting jobs of real tables, and its code runs them.

The folder old_queues has the tables with jobs of each state: type `thumbs` with one that is due and one of 2040, type
`reports` with one that waits for a retry, one that a worker holds and, where they stay in the table, an ended one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import psycopg
import pytest
import yaml

from jobtide import Tide
from jobtide.testing import assert_enqueued, drain
from jobtide_controller.api.refusals import refusals
from tests.pages import COMING_FROM, commands, shown

TABLES = Path(__file__).parent / "old_queues"
DUE, LATER = "https://example.com/a.png", "https://example.com/later.png"
FAR = datetime(2040, 1, 1, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Old:
    """A queue: its table, the column with the payload, and what a worker sets in a row that it takes."""

    file: str
    move: str
    table: str
    payload: str
    taken: str

    @property
    def claim(self) -> str:
        """What a worker does first with the job that is due."""
        return f"UPDATE {self.table} SET {self.taken} WHERE {self.payload} ->> 'url' = '{DUE}'"


PROCRASTINATE = Old(
    "procrastinate", shown(COMING_FROM, "move from Procrastinate"), "procrastinate_jobs", "args", "status = 'doing'"
)
RIVER = Old("river", shown(COMING_FROM, "move from River"), "river_job", "args", "state = 'running'")
OBAN = Old("oban", shown(COMING_FROM, "move from Oban"), "oban_jobs", "args", "state = 'executing'")
PG_BOSS = Old("pg-boss", shown(COMING_FROM, "move from pg-boss"), "pgboss.job", "data", "state = 'active'")
GRAPHILE = Old(
    "graphile-worker",
    shown(COMING_FROM, "move from Graphile Worker"),
    "graphile_worker._private_jobs",
    "payload",
    "locked_at = now(), locked_by = 'me'",
)
QUEUES = [pytest.param(queue, id=queue.file) for queue in (PROCRASTINATE, RIVER, OBAN, PG_BOSS, GRAPHILE)]
HELD_OR_ENDED = {queue.values[0].file: {"2026-08", "2026-09"} for queue in QUEUES} | {"pg-boss": {"2026-09", "2026-11"}}


@pytest.fixture
def moving(database, connect, tenant):
    """moving(queue) -> the tenant; the queue's table is there, with its jobs."""

    def begin(queue: Old):
        connect().execute((TABLES / f"{queue.file}.sql").read_text())
        return tenant("acme")

    return begin


@pytest.fixture
def psql(server, database):
    def run(script: str, **variables: object) -> str:
        settings = [f"--set={name}={value}" for name, value in {"ON_ERROR_STOP": "1", **variables}.items()]
        done = subprocess.run(
            [server.bin / "psql", "--no-psqlrc", *settings, "--file", "-", database],
            input=script, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("queue", QUEUES)
def test_the_waiting_jobs_of_a_type_move_once_with_payload_and_due_time(queue, moving, psql, connect):
    tenant = moving(queue)
    connection = connect()
    assert psql(queue.move, tenant=tenant) == "INSERT 0 2\n"
    assert psql(queue.move, tenant=tenant) == "INSERT 0 0\n"
    jobs = connection.execute(
        "SELECT tenant_id, type, payload, status::text, attempts, coalesce(next_retry_at, created_at) > now() "
        "FROM job_queue ORDER BY payload"
    ).fetchall()
    assert jobs == [
        (tenant, "thumbs", {"url": DUE}, "pending", 0, False),
        (tenant, "thumbs", {"url": LATER}, "pending", 0, True),
    ]
    assert connection.execute("SELECT max(next_retry_at) FROM job_queue").fetchone() == (FAR,)

    # The other type: what waits for a retry moves too, what runs or has ended stays.
    psql(queue.move.replace("thumbs", "reports").replace("Thumbs", "Reports"), tenant=tenant)
    months = "SELECT {} ->> 'month' FROM {} WHERE {} ->> 'month' IS NOT NULL"
    moved = {month for (month,) in connection.execute(months.format("payload", "job_queue", "payload")).fetchall()}
    stays = months.format(queue.payload, queue.table, queue.payload)
    assert "2026-10" in moved
    assert {month for (month,) in connection.execute(stays).fetchall()} == HELD_OR_ENDED[queue.file]
    assert moved & HELD_OR_ENDED[queue.file] == set()


@pytest.mark.parametrize("queue", QUEUES)
def test_a_job_that_an_old_worker_is_taking_at_that_moment_is_left_to_it(queue, moving, psql, connect, wait_until):
    tenant = moving(queue)
    worker, watcher = connect(autocommit=False), connect()
    assert worker.execute(queue.claim).rowcount == 1
    printed: list[str] = []
    move = Thread(target=lambda: printed.append(psql(queue.move, tenant=tenant)))
    move.start()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    wait_until(lambda: watcher.execute(waits).fetchone()[0])
    worker.commit()
    move.join()
    assert printed == ["INSERT 0 1\n"]
    (payload,) = watcher.execute("SELECT payload FROM job_queue").fetchone()
    assert payload == {"url": LATER}


@pytest.fixture
def code() -> dict[str, object]:
    """What the two blocks of Python define."""
    names: dict[str, object] = {}
    exec(shown(COMING_FROM, "handler"), names)
    exec(shown(COMING_FROM, "producer"), names)
    return names


def test_the_functions_of_the_page_run_what_was_moved_and_what_is_new(moving, psql, connect, code):
    tenant = moving(PROCRASTINATE)
    psql(PROCRASTINATE.move, tenant=tenant)
    connection = connect()
    code["on_upload"](connection, tenant, "https://example.com/new.png")
    assert_enqueued(connection, "thumbs", tenant_id=tenant, url="https://example.com/new.png")
    tide = code["tide"]
    assert isinstance(tide, Tide)
    assert [ended.status for ended in drain(connection, tide)] == ["completed", "completed"]
    (result,) = connection.execute("SELECT result FROM job_queue WHERE payload ->> 'url' LIKE '%%a.png'").fetchone()
    assert result == {"small": f"{DUE}?width=120"}


def test_the_program_of_the_page_runs_what_was_moved(moving, psql, connect, database, tmp_path, wait_until):
    psql(GRAPHILE.move, tenant=moving(GRAPHILE))
    (words,) = commands(shown(COMING_FROM, "program"))
    assert words[0] == "jobtide"
    (tmp_path / "thumb.js").write_text("process.stdin.on('data', (text) => console.log(JSON.parse(text).url.length))")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")}
    worker = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=tmp_path, stderr=subprocess.DEVNULL,
        env=environment | {"JOBTIDE_DATABASE_URL": database, "JOBTIDE_HTTP_PORT": "0"},
    )  # fmt: skip
    connection = connect()
    done = "SELECT result FROM job_queue WHERE status = 'completed'"
    try:
        assert wait_until(lambda: connection.execute(done).fetchall()) == [(len(DUE),)]
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()


def test_the_pool_of_the_page_is_what_the_controller_takes():
    assert refusals(yaml.safe_load(shown(COMING_FROM, "pool instead of a ScaledObject"))) == []


def test_the_versions_of_the_page_are_those_of_the_tables():
    page = (Path(__file__).parents[3] / COMING_FROM).read_text().partition("## The words")[0]
    for file in TABLES.glob("*.sql"):
        (name, version) = re.findall(r"^-- The tables? of ([\w -]+?) ([\d.]+)[.,]", file.read_text())[0]
        assert (name.split()[0], version in page) == (name.split()[0], True), file.name


def test_nothing_is_moved_where_the_tenant_does_not_exist(moving, connect):
    queue = PROCRASTINATE
    moving(queue)
    connection = connect()
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute(queue.move.replace(":'tenant'", "'00000000-0000-4000-8000-000000000000'"))
    assert connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'thumbs'").fetchone() == (2,)
