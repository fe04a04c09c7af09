"""`jobtide jobs list|show|why|retry|cancel|run-now|purge` as an operator runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from dev.postgres.pgbouncer import PgBouncer
from jobtide.__main__ import INTERRUPTED

pytestmark = pytest.mark.any_version


@pytest.fixture
def jobs(database, tmp_path):
    """jobs("list", ...): the finished process."""

    def run(*arguments, url=database, **more):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("JOBTIDE", "PG"))}
        return subprocess.run(
            [sys.executable, "-m", "jobtide", "jobs", *map(str, arguments)],
            env=environment | {"JOBTIDE_DATABASE_URL": url} | more,
            capture_output=True, check=False, cwd=tmp_path, encoding=more.get("PYTHONIOENCODING", "utf-8"),
        )  # fmt: skip

    return run


@pytest.fixture
def failed(connect, tenant):
    """failed(3): so many failed jobs of type t; returns their tenant."""

    def add(count):
        owner = tenant("acme")
        connect().execute(
            "INSERT INTO job_queue (tenant_id, type, status, completed_at, result) "
            'SELECT %s, \'t\', \'failed\', now(), \'{"error": {"type": "Boom", "message": "full"}}\' '
            "FROM generate_series(1, %s)",
            [owner, count],
        )
        return owner

    return add


def actions(done):
    """The log lines on stderr."""
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


def test_a_list_is_a_table_or_the_same_as_json(jobs, failed):
    owner = failed(2)
    done = jobs("list", "--tenant", "acme", "--limit", 1)
    assert done.returncode == 0, done.stderr
    head, line, hint = done.stdout.splitlines()
    assert head.split() == ["ID", "STATUS", "TYPE", "TENANT", "TRIES", "CREATED", "DUE", "ERROR"]
    assert line.split()[1:4] == ["failed", "t", str(owner)]
    assert line.endswith("Boom: full")
    assert hint.startswith("(the newest 1: for others")
    as_json = json.loads(jobs("list", "--status", "failed", "--json").stdout)
    assert [job["tenant_id"] for job in as_json["jobs"]] == [str(owner)] * 2
    assert jobs("list", "--type", "absent").stdout == "no job matches\n"


def test_show_hides_the_payload_until_it_is_asked_for(jobs, enqueue, tenant):
    id_ = enqueue("t", tenant(), {"card": "4111"}, worker_id="w")
    done = jobs("show", id_)
    assert "4111" not in done.stdout
    assert "payload    (hidden: --payload shows it)" in done.stdout.splitlines()
    assert 'payload    {"card": "4111"}' in jobs("show", id_, "--payload").stdout.splitlines()
    assert "4111" not in jobs("show", id_, "--json").stdout
    assert json.loads(jobs("show", id_, "--json", "--payload").stdout)["payload"] == '{"card": "4111"}'


def test_why_answers_in_sentences(jobs, enqueue, tenant):
    id_ = enqueue("t", tenant())
    assert jobs("why", id_).stdout.splitlines()[1].startswith("No job of this type runs now.")
    assert json.loads(jobs("why", id_, "--json").stdout)["reasons"][0]["code"] == "NothingRuns"


@pytest.mark.parametrize("command", ["show", "why"])
def test_a_job_that_does_not_exist_is_an_error(jobs, command):
    done = jobs(command, uuid4())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("jobtide: there is no job ")


def test_one_job_is_changed_at_once_and_logged_in_one_line(jobs, failed, row):
    failed(1)
    (job,) = json.loads(jobs("list", "--json").stdout)["jobs"]
    done = jobs("retry", "--id", job["id"], "--by", "alice")
    assert (done.returncode, done.stdout) == (0, "retried 1 job\n")
    (line,) = actions(done)
    assert line | {"time": 0} == {
        "time": 0, "level": "info", "logger": "jobtide.operate", "message": "retry: 1 job", "action": "retry",
        "by": "alice", "database_user": "postgres", "filter": {"id": job["id"]}, "changed": 1, "skipped": 0,
        "refusal": None, "is_done": True,
    }  # fmt: skip


def test_more_than_one_job_needs_yes(jobs, failed, statuses):
    failed(12)
    refused = jobs("retry", "--type", "t")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "jobtide: nothing was changed: retry concerns 12 jobs; --dry-run shows them, --yes changes them\n"
    )
    dry = jobs("retry", "--type", "t", "--dry-run")
    assert dry.stdout.splitlines()[0] == "retry would concern 12 jobs"
    assert len(dry.stdout.splitlines()) == 12
    assert json.loads(jobs("retry", "--type", "t", "--dry-run", "--json").stdout)["number"] == 12
    assert statuses() == {"failed": 12}
    done = jobs("retry", "--type", "t", "--yes", "--json")
    assert json.loads(done.stdout)["changed"] == 12
    assert statuses() == {"pending": 12}
    again = jobs("retry", "--type", "t", "--yes")
    assert again.stdout == "nothing to retry: no failed job matches\n"
    assert [line["changed"] for line in actions(again)] == [0]


def test_ctrl_c_ends_it_after_a_batch_and_it_can_be_repeated(failed, database, statuses, tmp_path, jobs):
    failed(2_000)
    arguments = ["retry", "--type", "t", "--yes", "--pause-seconds", "60", "--database-url", database]
    with subprocess.Popen(
        [sys.executable, "-m", "jobtide", "jobs", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, text=True,
    ) as running:  # fmt: skip
        assert running.stdout.readline() == "retried 500 jobs\n"
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == 1
    line = json.loads(errors)
    assert (line["changed"], line["is_done"]) == (500, False)
    assert statuses() == {"failed": 1_500, "pending": 500}
    assert jobs(*arguments[:4]).stdout.splitlines()[-1] == "retried 1,500 jobs"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--status", "done"), "--status done: there is no such status; use one of pending"),
        (("list", "--since", "yesterday"), "give an age, as in 15m"),
        (("list", "--tenant", "nowhere"), "no tenant is named 'nowhere'"),
        (("purge", "--type", "t", "--yes"), "purge deletes by age; name one, as in --until 30d"),
        (("cancel", "--yes"), "cancel without a filter would change every job"),
        (("list", "--until", "0001-01-01"), "no job is older; give a later time"),
        (("list", "--tenant", "\udcff"), "holds half a surrogate pair"),
        (("retry", "--type", "t", "--status", "completed", "--yes"), "retry does not change completed jobs"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_one_sentence(jobs, arguments, words):
    done = jobs(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_role_without_the_rights_learns_which_group_has_them(jobs, connect, database, enqueue, tenant):
    enqueue("t", tenant())
    connect().execute(
        "DO $$ BEGIN CREATE ROLE jobs_controller LOGIN IN ROLE jobtide_controller; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
    done = jobs("cancel", "--type", "t", "--yes", url=database.replace("postgres@", "jobs_controller@", 1))
    assert done.returncode == 1
    assert "use a login in jobtide_operator" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("show", uuid4()), ("why", uuid4()), ("cancel", "--type", "t"), ("cancel", "--type", "t", "--yes")],
    ids=lambda arguments: " ".join(map(str, (arguments[0], *arguments[3:]))),
)
def test_a_role_that_sees_no_row_learns_that_rows_are_hidden(jobs, connect, database, enqueue, tenant, arguments):
    enqueue("t", tenant())
    connect().execute(
        "DO $$ BEGIN CREATE ROLE jobs_reader LOGIN; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;"
        "GRANT SELECT, UPDATE ON job_queue TO jobs_reader"
    )
    done = jobs(*arguments, url=database.replace("postgres@", "jobs_reader@", 1))
    assert done.returncode == 1
    assert "row level security hides jobs from role jobs_reader" in done.stderr.splitlines()[-1]


def test_it_works_behind_a_pooler_whatever_the_settings_of_the_database_are(jobs, failed, server, database, connect):
    failed(3)
    name = urlsplit(database).path.lstrip("/")
    for setting in ("DateStyle = 'German'", "TimeZone = 'Asia/Kathmandu'", "array_nulls = off", "row_security = off",
                    "default_transaction_isolation = 'serializable'", "bytea_output = 'escape'"):  # fmt: skip
        connect().execute(f'ALTER DATABASE "{name}" SET {setting}')
    with PgBouncer(server=server) as pooler:
        url = pooler.url(name)
        listed = json.loads(jobs("list", "--since", "1h", "--json", url=url).stdout)["jobs"]
        assert [job["created_at"].endswith("Z") for job in listed] == [True] * 3
        done = jobs("retry", "--since", "1h", "--until", "0s", "--yes", url=url)
        assert done.stdout == "retried 3 jobs\n", done.stderr
        assert jobs("why", listed[0]["id"], url=url).returncode == 0


def test_texts_of_tenants_cannot_move_the_cursor(jobs, enqueue, tenant):
    id_ = enqueue(
        "\x1b[2Jt\u202e", tenant(), result='{"error": {"type": "\\u001b[31m", "message": "a\\nb"}}', attempts=1
    )
    for arguments in (("list",), ("show", id_), ("why", id_), ("list", "--json"), ("show", id_, "--json")):
        printed = jobs(*arguments).stdout
        assert all(one.isprintable() or one == "\n" for one in printed), arguments


def test_a_name_that_is_no_text_is_stored_as_far_as_it_can_be(jobs, enqueue, tenant, row):
    id_ = enqueue("t", tenant())
    assert jobs("cancel", "--id", id_, "--by", "al\udce9ice\u202e").returncode == 0
    assert row(id_)["result"]["error"]["by"] == "al?ice\u202e"


def test_a_read_only_server_refuses_a_change_in_one_line(jobs, failed, database, connect):
    failed(1)
    name = urlsplit(database).path.lstrip("/")
    connect().execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert jobs("list").returncode == 0
    done = jobs("retry", "--since", "1h")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("cannot execute UPDATE in a read-only transaction")


def test_a_locked_job_is_left_and_said_to_be(jobs, enqueue, tenant, connect):
    id_ = enqueue("t", tenant())
    connect(autocommit=False).execute("SELECT FROM job_queue FOR UPDATE")
    done = jobs("cancel", "--id", id_)
    assert done.stdout == "left 1 job (changed or locked in the meantime): repeat the command for it\n"


@pytest.mark.parametrize("name", ["id", "type"])
def test_a_filter_that_is_given_twice_is_refused(jobs, failed, statuses, name):
    """The last one alone would count, and the first jobs would not be cancelled."""
    failed(1)
    done = jobs("retry", f"--{name}", uuid4(), f"--{name}", "t", "--yes")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"argument --{name}: given twice" in done.stderr
    assert statuses() == {"failed": 1}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_gets_every_type(jobs, enqueue, tenant, encoding):
    enqueue("\u65e5\u00e9", tenant())
    for arguments in (("list",), ("list", "--json")):
        done = jobs(*arguments, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
    assert json.loads(jobs("list", "--json", PYTHONIOENCODING="ascii").stdout)["jobs"][0]["type"] == "\u65e5\u00e9"


@pytest.mark.parametrize("arguments", ["list --limit 1000", "cancel --type t --yes --pause-seconds 0"])
def test_a_reader_that_ends_ends_the_command_in_silence(database, connect, tenant, arguments):
    connect().execute(
        "INSERT INTO job_queue (tenant_id, type) SELECT %s, 't' FROM generate_series(1, 3000)", [tenant("acme")]
    )
    command = f"{sys.executable} -m jobtide jobs {arguments} --database-url '{database}' | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, check=True, text=True)
    assert len(done.stdout.splitlines()) == 1
    assert [line["is_done"] for line in actions(done)] == ([False] if "cancel" in arguments else [])
    assert done.stderr.count("\n") == len(actions(done))


@pytest.mark.parametrize(
    ("arguments", "signals"),
    [(("list",), [signal.SIGINT]), (("retry", "--type", "t", "--yes"), [signal.SIGTERM, signal.SIGINT])],
    ids=["list", "change"],
)
def test_ctrl_c_ends_it_while_the_server_does_not_answer(failed, database, connect, wait_until, arguments, signals):
    """A change ends after its batch at the first signal, and at once at the second."""
    failed(1)
    connect(autocommit=False).execute("LOCK TABLE job_queue")
    watching = connect()
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'job_queue'::regclass"
    with subprocess.Popen(
        [sys.executable, "-m", "jobtide", "jobs", *arguments, "--database-url", database],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        wait_until(lambda: watching.execute(waits).fetchone()[0])
        for number in signals:
            running.send_signal(number)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == INTERRUPTED, errors
    assert "Traceback" not in errors
