"""The release before this one and this one on one table: its workers, its producers and its schema, as real processes.

An upgrade and its way back go through each of these states: old and new workers on the old schema and on the new one,
and a `schema apply` of either release while jobs run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from dev.postgres.server import VERSIONS, Server
from dev.release.installed import ensure_before

CAP = 3
TENANTS = 12
NOTES = 600  # by each producer
ENQUEUE = """
import sys, psycopg
from jobtide import NewJob, enqueue_many
url, type_, file, *tenants = sys.argv[1:]
with psycopg.connect(url) as connection:
    enqueue_many(connection, [
        NewJob(type=type_, payload={"file": file, "line": f"%s-{number}"}, tenant_id=tenants[number %% len(tenants)])
        for number in range(%s)
    ])
"""
# One line for each change of a status, in an order in which a claim comes after the ends that it counts on.
LEDGER = """
CREATE TABLE ledger (seq bigserial, job_id uuid, tenant_id uuid, became text, worker text);
CREATE FUNCTION keep_ledger() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO ledger (job_id, tenant_id, became, worker)
  VALUES (NEW.id, NEW.tenant_id, NEW.status, split_part(NEW.worker_id, ':', 2));
  RETURN NULL;
END $$;
CREATE TRIGGER keep_ledger AFTER UPDATE OF status ON job_queue FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION keep_ledger();
"""
MOST_AT_ONCE = """
SELECT max(running) FROM (
  SELECT sum(CASE WHEN became = 'processing' THEN 1 WHEN was = 'processing' THEN -1 ELSE 0 END)
    OVER (PARTITION BY tenant_id ORDER BY seq) AS running
  FROM (SELECT *, lag(became) OVER (PARTITION BY job_id ORDER BY seq) AS was FROM ledger) AS changes
) AS counts
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The newest PostgreSQL alone: what differs between its versions is tested with one version of Jobtide."""
    with Server(version=max(VERSIONS)) as running:
        yield running


@pytest.fixture(scope="session")
def pythons() -> dict[str, str]:
    """The Python that has each release."""
    return {"before": str(ensure_before().python), "now": sys.executable}


@pytest.fixture
def jobtide(pythons, empty_database, tmp_path) -> Callable[..., str]:
    """A command of one release, on the test's database; its output. The test fails if it does."""

    def run(release: str, *arguments: str) -> str:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")}
        done = subprocess.run(
            [pythons[release], "-m", "jobtide", *arguments],
            cwd=tmp_path, env={**variables, "JOBTIDE_DATABASE_URL": empty_database},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{release}: jobtide {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    return run


@pytest.fixture(params=["before", "now"])
def schema(request: pytest.FixtureRequest) -> str:
    """The release whose schema the database has."""
    return request.param


@pytest.fixture
def database(empty_database, schema, jobtide) -> str:
    jobtide(schema, "schema", "apply", "--roles")
    with psycopg.connect(empty_database) as connection:
        connection.execute(LEDGER)
    return empty_database


@pytest.fixture
def login(server, database) -> Iterator[Callable[[str], str]]:
    """The URL of the database as a login with the rights of one part."""
    made = []
    with psycopg.connect(database, autocommit=True) as admin:

        def new(part: str) -> str:
            made.append(f"upgrade_{part}")
            admin.execute(f"CREATE ROLE {made[-1]} LOGIN IN ROLE jobtide_{part}")
            return make_conninfo(database, user=made[-1])

        yield new
        for name in made:
            admin.execute(f"DROP ROLE {name}")


@pytest.fixture
def crew(worker, pythons, login) -> Callable[[str, str], object]:
    """Workers of either release, with the same settings and the least rights."""
    settings = {
        "JOBTIDE_DATABASE_URL": login("worker"),
        "JOBTIDE_CONCURRENCY": "8",
        "JOBTIDE_LEASE_SECONDS": "1",
        "JOBTIDE_TENANT_MAX_CONCURRENT": str(CAP),
        "JOBTIDE_PROMISES": '{"note": 5, "wait": 30}',
    }
    return lambda release, name: worker(python=pythons[release], JOBTIDE_POD_UID=name, **settings)


@pytest.fixture
def ledger(connect) -> Callable[[str], list[tuple]]:
    connection = connect()
    return lambda query: connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("schema", "first", "second"),
    [
        pytest.param("before", "before", "now", id="new workers before the new schema"),
        pytest.param("now", "before", "now", id="old workers on the new schema"),
        pytest.param("now", "now", "before", id="back to old workers on the new schema"),
    ],
    indirect=["schema"],
)
def test_workers_of_both_releases_end_each_job_once(
    crew, tenant, enqueue, ledger, pythons, database, row, wait_until, tmp_path, first, second
):
    """The first is killed too, and the second continues its jobs, as where the tag of a container's image has moved."""
    owners = [tenant() for _ in range(TENANTS)]
    notes, go = tmp_path / "notes", tmp_path / "go"
    long = [enqueue("wait", owner, {"file": str(go)}) for owner in owners[:2]]
    failing = [enqueue("boom", owners[2]), enqueue("say", owners[3], {"end": "fail"})]
    killed = crew(first, "pod-1")
    wait_until(lambda: {row(id_)["status"] for id_ in long} == {"processing"})
    beside = crew(second, "pod-2")
    wait_until(lambda: beside.logged("working on"))
    for release, python in pythons.items():
        command = [python, "-c", ENQUEUE % (release, NOTES), database, "note", str(notes), *map(str, owners)]
        subprocess.run(command, check=True)

    wait_until(lambda: claims(ledger).keys() == {"pod-1", "pod-2"})
    killed.end(signal.SIGKILL)
    crew(second, "pod-1")
    wait_until(lambda: claims(ledger, long).total() >= 4)
    go.touch()
    ended = "SELECT count(*) FROM job_queue WHERE status NOT IN ('pending', 'processing')"
    wait_until(lambda: ledger(ended) == [(2 * NOTES + 4,)])

    ends = "SELECT job_id, count(*) FROM ledger WHERE became IN ('completed', 'failed') GROUP BY 1"
    assert set(dict(ledger(ends)).values()) == {1}
    assert Counter(line.partition("-")[0] for line in set(notes.read_text().split())) == dict.fromkeys(pythons, NOTES)
    assert {row(id_)["status"] for id_ in failing} == {"failed"}
    assert {row(id_)["status"] for id_ in long} == {"completed"}
    assert ledger(MOST_AT_ONCE) == [(CAP,)]


@pytest.mark.parametrize("schema", ["before"], indirect=True)
def test_an_apply_of_either_release_cuts_no_job_and_takes_nothing_away(
    crew, jobtide, database, server, connect, tenant, enqueue, row, wait_until, tmp_path
):
    """As an upgrade and its way back do, while a worker of the release before runs a job and rests."""
    owner, go = tenant(), tmp_path / "go"
    others = [enqueue("later", owner, status=status) for status in ("pending", "failed", "completed")]
    long = enqueue("wait", owner, {"file": str(go)})
    crew("before", "pod-1")
    wait_until(lambda: row(long)["status"] == "processing")
    rows = "SELECT md5(string_agg(q::text, ',' ORDER BY q.id)) FROM job_queue AS q WHERE type = 'later'"
    before = connect().execute(rows).fetchall()

    assert problems(jobtide, "now") == [], "what this release misses in the schema before is no problem"
    jobtide("now", "schema", "apply", "--roles", "--tenant-walls")
    assert problems(jobtide, "before") == [], "its workers and controllers start on the new schema too"
    upgraded = objects(server, database)
    jobtide("before", "schema", "apply", "--roles", "--tenant-walls")
    assert upgraded - objects(server, database) == set(), "the release before took this away"
    assert connect().execute(rows).fetchall() == before
    assert {row(id_)["attempts"] for id_ in others} == {0}
    go.touch()
    fresh = enqueue("echo", owner)
    wait_until(lambda: {row(id_)["status"] for id_ in (long, fresh)} == {"completed"})
    assert row(long)["attempts"] == 1


def problems(jobtide, release: str) -> list[str]:
    """What a check of this release calls an error, for either part."""
    lines = [jobtide(release, "schema", "check", "--part", part) for part in ("worker", "controller")]
    return [line for line in "".join(lines).splitlines() if line.startswith("error")]


def objects(server: Server, url: str) -> set[str]:
    """Each statement of pg_dump. Of a function only its first line: a release has its own body for it."""
    command: list[str | Path] = [server.bin / "pg_dump", "--schema-only", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]
    return set(re.sub(r" AS \$(\w*)\$.*?\$\1\$;", ";", "\n".join(lines), flags=re.DOTALL).split(";\n"))


def claims(ledger, jobs: list[UUID] | None = None) -> Counter[str]:
    """How often each worker has claimed one of these jobs, or any."""
    rows = ledger("SELECT worker, job_id FROM ledger WHERE became = 'processing'")
    return Counter(name for name, job in rows if jobs is None or job in jobs)
