"""What is claimed and not ended in the table is bounded; a worker whose ends can't be written stops claiming."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import urllib.error
import urllib.request
from pathlib import Path
from time import monotonic

import pytest
from psycopg import sql

from jobtide.queue.session import DatabaseUnreachable, Session
from tests.postgres.worker.proxy import Proxy
from tests.postgres.worker.test_process import fetch, free_port

MOST = 1_100  # the backlog's bound, and the jobs that ran when it was reached


@pytest.fixture
def limited(connect, database):
    """URL for a worker whose role may have one connection."""
    name = f"limited_{database.rpartition('/')[2]}"
    connection = connect()
    role = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 1 IN ROLE jobtide_worker").format(role))
    yield database.replace("postgres@", f"{name}@")
    connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", [name])
    connection.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(role, role))


@pytest.fixture
def notes(connect, tenant, tmp_path):
    """notes(count) enqueues jobs that each write a line into notes.file."""

    class Notes:
        file = tmp_path / "notes"

        def __call__(self, count):
            connect().execute(
                """INSERT INTO job_queue (tenant_id, type, payload)
                   SELECT %s, 'note', jsonb_build_object('file', %s::text, 'line', n::text)
                   FROM generate_series(1, %s) AS n""",
                [tenant(), str(self.file), count],
            )

        @property
        def lines(self):
            return self.file.read_text().split() if self.file.exists() else []

    return Notes()


def test_a_worker_whose_ends_find_no_connection_stops_claiming_and_loses_nothing(
    worker, limited, notes, statuses, wait_until
):
    notes(3_000)
    process = worker(JOBTIDE_DATABASE_URL=limited)
    wait_until(lambda: process.logged("no claims: "))
    assert len(notes.lines) <= MOST
    wait_until(lambda: statuses() == {"completed": 3_000})
    assert sorted(notes.lines) == sorted(map(str, range(1, 3_001)))


def test_a_worker_that_is_stopped_while_its_ends_wait_writes_them(worker, limited, notes, statuses, wait_until):
    notes(3_000)
    process = worker(JOBTIDE_DATABASE_URL=limited)
    wait_until(lambda: process.logged("can't finish"))
    assert process.end(signal.SIGTERM) == 0
    assert set(statuses()) <= {"completed", "pending"}
    assert statuses()["completed"] == len(notes.lines) <= MOST


def test_a_backend_that_hangs_stops_the_claims_and_is_replaced(worker, notes, statuses, connect, wait_until):
    port = str(free_port())
    notes(1)
    process = worker(JOBTIDE_HTTP_PORT=port)
    wait_until(lambda: statuses() == {"completed": 1})
    wait_until(lambda: fetch(port, "/readyz") == 200)
    find = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%AS ended%SET%'"
    watching = connect()
    pid = wait_until(lambda: watching.execute(f"{find} AND pid <> pg_backend_pid()").fetchone())[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        notes(5_000)
        wait_until(lambda: fetch(port, "/readyz") == 503)
        assert re.fullmatch(r"the ends of \d+ jobs have waited \d+ s to be written\n", body(port, "/readyz"))
        assert fetch(port, "/livez") == 200
        shown = dict(line.rsplit(" ", 1) for line in body(port, "/metrics").splitlines())
        assert float(shown["jobtide_worker_unwritten_seconds"]) > 3
        assert 0 < float(shown["jobtide_worker_unwritten_ends"]) <= MOST
        wait_until(lambda: process.logged("no claims: "))
        assert len(notes.lines) <= MOST
        wait_until(lambda: statuses() == {"completed": 5_001})
        assert process.logged("the server has not answered a statement for 10 s")
        assert process.logged("claims go on after")
        assert fetch(port, "/readyz") == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    assert len(notes.lines) == 5_001
    assert not process.logged("held the interpreter")


def body(port, path):
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


@pytest.mark.parametrize(
    ("of", "count"),
    [
        pytest.param("x", 1_000_000, id="plain text"),
        pytest.param('"', 510_000, id="quotes, which grow fourfold as a parameter"),
        pytest.param("\N{GRINNING FACE}", 250_000, id="characters of four bytes"),
    ],
)
def test_large_results_are_written_in_small_batches_with_bounded_memory(
    worker, connect, database, tenant, statuses, wait_until, of, count
):
    connect().execute(f"ALTER DATABASE {database.rpartition('/')[2]} SET statement_timeout = '3s'")
    connect().execute(
        """INSERT INTO job_queue (tenant_id, type, payload)
           SELECT %s, 'sized', jsonb_build_object('of', %s::text, 'count', %s::int) FROM generate_series(1, 150)""",
        [tenant(), of, count],
    )
    process = worker("results:tide", JOBTIDE_CONCURRENCY="50")
    wait_until(lambda: statuses() == {"completed": 150})
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{process.popen.pid}/status").read_text())
    assert peak is not None
    assert int(peak[1]) < 300_000


def test_a_statement_without_an_answer_ends_at_its_deadline(database):
    seen = []
    with Proxy(database) as proxy:
        session = Session(lambda: proxy.url, answer_seconds=1.5, waiting=seen.append)
        session.execute("SELECT 1", {})
        proxy.cut("silent")
        began = monotonic()
        with pytest.raises(DatabaseUnreachable, match=r"has not answered a statement for 1\.5 s"):
            session.execute("SELECT 1", {})
        assert monotonic() - began > 1.4
        assert seen
        proxy.mend()
        session.execute("SELECT pg_sleep(1.6)", {})  # the deadline has doubled: the statement may just be slow
    session.close()
