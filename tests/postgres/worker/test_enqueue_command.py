"""`jobtide enqueue`: which database and tenant it uses, what it prints, and what it refuses with nothing inserted."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from jobtide.commands.dev_folder import url_file

pytestmark = pytest.mark.any_version


@pytest.fixture
def enqueue(database, tmp_path):
    """enqueue("mail.send", ..., stdin=b"", url=database): the finished process, in an empty folder."""

    def run(*arguments, stdin=b"", url=database):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("JOBTIDE", "PG"))}
        if url is not None:
            environment["JOBTIDE_DATABASE_URL"] = url
        return subprocess.run(
            [sys.executable, "-m", "jobtide", "enqueue", *arguments],
            input=stdin, env=environment, capture_output=True, check=False, cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.fixture
def dev_folder(database, tmp_path):
    """The folder of `enqueue` looks as if `jobtide dev` ran there, on the test's database."""
    file = url_file(tmp_path)
    file.parent.mkdir()
    file.write_text(database + "\n")


@pytest.fixture
def jobs(connect):
    """jobs(): all of them, as type, payload and seconds until they are due."""

    def rows():
        return (
            connect()
            .execute("SELECT type, payload, round(extract(EPOCH FROM next_retry_at - created_at))::int FROM job_queue")
            .fetchall()
        )

    return rows


def test_a_job_is_added_for_the_tenant_with_this_name_and_its_id_is_printed(enqueue, connect, tenant):
    acme = tenant("Acme")
    added = enqueue("mail.send", '{"to": "ü"}', "--tenant", "Acme")
    assert (added.returncode, added.stderr) == (0, b"")
    row = connect().execute("SELECT id, tenant_id, type, payload, next_retry_at FROM job_queue").fetchone()
    assert row == (UUID(added.stdout.decode().strip()), acme, "mail.send", {"to": "ü"}, None)


def test_without_json_the_payload_is_an_empty_object(enqueue, jobs, tenant):
    assert enqueue("mail.send", "--tenant", str(tenant())).returncode == 0
    assert jobs() == [("mail.send", {}, None)]


def test_the_payload_may_come_from_standard_input_and_the_job_wait(enqueue, jobs, tenant):
    assert enqueue("m", "-", "--tenant", str(tenant()), "--after", "90", stdin=b'["a", 1]\n').returncode == 0
    assert jobs() == [("m", ["a", 1], 90)]


def test_many_jobs_are_counted_not_listed(enqueue, jobs, tenant):
    added = enqueue("m", "--tenant", str(tenant()), "--count", "1201")
    assert (added.stdout, len(jobs())) == (b"added 1201 jobs of type m\n", 1201)


def test_large_payloads_go_in_smaller_statements(enqueue, jobs, tenant):
    added = enqueue("m", "-", "--tenant", str(tenant()), "--count", "20", stdin=b'"%s"' % (b"x" * 1_000_000))
    assert (added.returncode, len(jobs())) == (0, 20)


def test_a_key_that_has_an_open_job_adds_nothing_and_is_no_error(enqueue, jobs, tenant):
    arguments = ("m", "--tenant", str(tenant()), "--key", "k")
    assert enqueue(*arguments).returncode == 0
    again = enqueue(*arguments)
    assert (again.returncode, again.stdout) == (
        0,
        b"not added: a job of this tenant and type with the key 'k' waits or runs\n",
    )
    assert len(jobs()) == 1


def test_in_the_folder_of_jobtide_dev_an_unknown_name_makes_the_tenant_once(enqueue, dev_folder, connect):
    with ThreadPoolExecutor(4) as threads:
        codes = list(threads.map(lambda _: enqueue("m", "--tenant", "new", url=None).returncode, range(8)))
    assert codes == [0] * 8
    assert connect().execute("SELECT name FROM tenants").fetchall() == [("new",)]
    assert connect().execute("SELECT count(DISTINCT tenant_id), count(*) FROM job_queue").fetchone() == (1, 8)


def test_a_given_database_comes_before_that_of_the_folder_and_gets_no_tenants(enqueue, dev_folder, database, jobs):
    refused = enqueue("m", "--tenant", "new", "--database-url", database, url=None)
    assert (refused.returncode, jobs()) == (1, [])
    assert refused.stderr == b"jobtide: no tenant is named 'new'; or give --tenant UUID\n"


REFUSED = [
    pytest.param(["m", "{", "--tenant", "Acme"], 1, "the payload '{' can't be stored as JSON: Expecting", id="no JSON"),
    pytest.param(["m", "NaN", "--tenant", "Acme"], 1, "can't be stored as JSON: it is not a JSON value", id="NaN"),
    pytest.param(["m", r'"\u0000"', "--tenant", "Acme"], 1, "holds the character U+0000", id="NUL"),
    pytest.param(["m", r'"\ud800"', "--tenant", "Acme"], 1, "holds half a surrogate pair", id="half a character"),
    pytest.param(["m", "[" * 100_000, "--tenant", "Acme"], 1, "can't be stored as JSON: maximum recursion", id="deep"),
    pytest.param(["m", "-", "--tenant", "Acme"], 1, "standard input can't be stored as JSON", id="empty input"),
    pytest.param([" m", "--tenant", "Acme"], 1, "job type ' m': handlers are found by the exact text", id="spaces"),
    pytest.param(["", "--tenant", "Acme"], 1, "job type ''", id="no type"),
    pytest.param([b"\xff", "--tenant", "Acme"], 1, "the job type holds half a surrogate pair", id="type in Latin-1"),
    pytest.param(["m", "--tenant", b"\xff"], 1, "the name of the tenant holds half a", id="name in Latin-1"),
    pytest.param(["m", "--tenant", "acne"], 1, "no tenant is named 'acne': there is 'Acme'; or give", id="typo"),
    pytest.param(["m", "--tenant", "twice"], 1, "2 or more tenants are named 'twice': give --tenant UUID", id="two"),
    pytest.param(["m", "--tenant", " "], 1, "--tenant is empty", id="no name"),
    pytest.param(["m", "--tenant", str(uuid4())], 1, "no tenant has this UUID", id="unknown UUID"),
    pytest.param(["m", "--tenant", "Acme", "--key", "k", "--count", "2"], 1, "one job for a key", id="a key for two"),
    pytest.param(["m", "--tenant", "Acme", "--count", "-3"], 2, "'-3': expected a whole number from 1", id="negative"),
    pytest.param(["m", "--tenant", "Acme", "--count", "0"], 2, "'0': expected a whole number from 1", id="zero"),
    pytest.param(["m", "--tenant", "Acme", "--count", "9" * 99], 2, "from 1 to 100000", id="too many"),
    pytest.param(["m", "--tenant", "Acme", "--after", "nan"], 2, "'nan': expected seconds, from 0", id="no time"),
    pytest.param(["m", "--tenant", "Acme", "--after", "-1"], 2, "'-1': expected seconds, from 0", id="the past"),
    pytest.param(["m"], 2, "the following arguments are required: --tenant", id="no tenant"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED)
def test_a_wrong_value_is_refused_in_one_sentence_with_nothing_inserted(enqueue, jobs, tenant, arguments, code, words):
    for name in ("Acme", "twice", "twice"):
        tenant(name)
    refused = enqueue(*arguments)
    last_line = refused.stderr.decode().splitlines()[-1]
    assert (refused.returncode, refused.stdout, jobs()) == (code, b"", [])
    assert words in last_line
    assert code == 2 or refused.stderr.count(b"\n") == 1


def test_without_a_database_every_way_to_name_one_is_shown(enqueue):
    refused = enqueue("m", "--tenant", "a", url=None)
    assert refused.returncode == 1
    assert refused.stderr.startswith(b"jobtide: no database: start `jobtide dev` in this folder, pass --database-url")


def test_a_folder_whose_jobtide_dev_has_ended_is_named_as_such(enqueue, tmp_path):
    file = url_file(tmp_path)
    file.parent.mkdir()
    file.write_text("postgresql://jobtide:secret@127.0.0.1:1/jobtide\n")
    refused = enqueue("m", "--tenant", "a", url=None)
    assert refused.returncode == 1
    assert refused.stderr == b"jobtide: `jobtide dev` does not run in this folder: start it first\n"


def test_a_database_without_the_table_is_refused(enqueue, empty_database):
    refused = enqueue("m", "--tenant", "a", url=empty_database)
    assert refused.returncode == 1
    assert refused.stderr == (
        b'jobtide: relation "tenants" does not exist: create the tables with `jobtide schema apply`\n'
    )


def test_tenants_without_names_are_given_by_uuid(enqueue, connect, tenant):
    id_ = tenant()
    connect().execute("ALTER TABLE tenants DROP COLUMN name")
    refused = enqueue("m", "--tenant", "a")
    assert refused.stderr == (
        b"jobtide: tenants can't be found by name: column t.name does not exist; give --tenant UUID\n"
    )
    assert enqueue("m", "--tenant", str(id_)).returncode == 0
