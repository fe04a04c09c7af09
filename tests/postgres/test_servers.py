"""The servers that the other tests use: what survives stop, kill and demotion, and what ends with its owner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from dev.postgres.server import Server, ServerError

OWNER = """
import sys
from dev.postgres.server import Server
server = Server(version=int(sys.argv[1]))
server.create(); server.start()
print(server.pid, server.directory, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda server: server.stop("fast"), id="stopped"),
        pytest.param(lambda server: server.stop("immediate"), id="stopped at once"),
        pytest.param(Server.kill, id="killed"),
    ],
)
def test_what_was_committed_is_there_after_a_restart(own_server, own_database, connect, end):
    connect(own_database).execute("INSERT INTO tenants (name) VALUES ('kept')")
    unfinished = connect(own_database, autocommit=False)
    unfinished.execute("INSERT INTO tenants (name) VALUES ('lost')")
    end(own_server)
    with pytest.raises(psycopg.OperationalError):
        connect(own_database)
    own_server.start()
    assert connect(own_database).execute("SELECT name FROM tenants").fetchall() == [("kept",)]


def test_a_standby_reads_and_refuses_writes_until_it_is_promoted(own_server, own_database, connect):
    own_server.become_standby()
    standby = connect(own_database)
    assert standby.execute("SELECT count(*) FROM tenants").fetchone() == (0,)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        standby.execute("INSERT INTO tenants DEFAULT VALUES")
    own_server.promote()
    assert connect(own_database).execute("INSERT INTO tenants DEFAULT VALUES").rowcount == 1


def test_a_server_ends_with_the_process_that_started_it_even_by_sigkill(server, wait_until):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(server.version)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with owner:
        pid, directory = owner.stdout.readline().split()
        assert Path("/proc", pid).exists()
        owner.kill()
    wait_until(lambda: not Path(directory).exists())
    assert not (Path("/proc") / pid / "exe").exists()


def test_a_password_is_asked_for_and_may_hold_any_character(server):
    with Server(version=server.version, password="s3/c@:r%") as guarded:
        with psycopg.connect(guarded.dsn) as conn:
            assert conn.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(guarded.url(password="wrong"))


def test_settings_that_the_server_refuses_are_shown_in_its_words(server):
    with (
        pytest.raises(ServerError, match='invalid value for parameter "max_connections"'),
        Server(version=server.version, settings={"max_connections": "many"}),
    ):
        pytest.fail("it started")


def test_a_version_that_is_not_available_is_refused():
    with pytest.raises(ServerError, match=r"no PostgreSQL 12 here: versions are \(15, 18\)"), Server(version=12):
        pytest.fail("it started")
