"""Beside another consumer of the table: its rows take no place of ours, and come back with their errors."""

from __future__ import annotations

import json
import re

import psycopg
import pytest

from jobtide.__main__ import main
from jobtide.queue.caps import TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session

RING = Ring(("echo", "b"))
# As a consumer of the seed's table claims and fails jobs, with a text of its own form.
FOREIGN = {"status": "processing", "worker_id": "worker_1"}


@pytest.fixture
def capped(database):
    opened = []

    def new(cap: int) -> PostgresJobQueue:
        session = Session(lambda: database)
        opened.append(PostgresJobQueue(session, pod_uid="pod", lease_seconds=600, caps=TenantCaps(cap)))
        return opened[-1]

    yield new
    for one in opened:
        one.close()


@pytest.fixture
def requeue(database, capsys):
    """requeue(*options): what `jobtide jobs requeue-foreign` printed."""

    def run(*options: str, code: int = 0) -> str:
        assert main(["jobs", "requeue-foreign", "--database-url", database, *options]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return run


# caps


@pytest.mark.parametrize("holder", ["worker_1", None, "", "xjobtide:pod:1", "Jobtide:pod:1"])
def test_rows_that_another_consumer_holds_do_not_count_against_the_cap(capped, tenant, enqueue, holder):
    owner = tenant()
    for _ in range(2):
        enqueue("echo", owner, status="processing", worker_id=holder)
    mine = [enqueue("echo", owner) for _ in range(3)]
    claimed = capped(2).claim(RING, 9, 9).jobs
    assert len(claimed) == 2
    assert {job.id for job in claimed} < set(mine)
    assert capped(2).claim(RING, 9, 9).jobs == []


def test_a_worker_under_a_cap_runs_jobs_beside_rows_that_an_old_consumer_left(worker, tenant, enqueue, row, wait_until):
    owner = tenant()
    left = [enqueue("echo", owner, **FOREIGN) for _ in range(2)]
    job = enqueue("echo", owner, payload=7)
    worker(JOBTIDE_TENANT_MAX_CONCURRENT="2")
    wait_until(lambda: row(job)["status"] == "completed")
    assert [row(id_)["worker_id"] for id_ in left] == ["worker_1"] * 2


# the way back of rows that an old consumer left


def test_old_rows_of_another_consumer_come_back_in_batches_with_result_and_attempts(
    requeue, tenant, enqueue, row, connect
):
    owner = tenant()
    old = {"created_at": "2026-01-01", "attempts": 2, "result": json.dumps({"error": "disk full"})}
    ids = [enqueue("echo", owner, **FOREIGN, **old) for _ in range(5)]
    assert requeue("--older-than", "1h", "--batch", "2") == (
        "requeued 2 jobs\nrequeued 4 jobs\nrequeued 5 jobs\n"
    )  # fmt: skip
    for id_ in ids:
        found = row(id_)
        assert (found["status"], found["attempts"], found["result"]) == ("pending", 2, {"error": "disk full"})
    assert connect().execute("SELECT count(*) FROM job_queue WHERE next_retry_at <= now()").fetchone() == (5,)
    assert requeue("--older-than", "1h") == "nothing to requeue\n"


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"worker_id": "jobtide:pod:1"}, id="our claim"),
        pytest.param({"worker_id": "jobtide:pod:1", "next_retry_at": "2026-01-01"}, id="our claim, its lease expired"),
        pytest.param({"created_at": "now"}, id="a young job"),
        pytest.param({"next_retry_at": "now"}, id="an old job that has just come due"),
        pytest.param({"status": "pending"}, id="pending"),
        pytest.param({"status": "failed"}, id="failed"),
        pytest.param({"status": "completed", "worker_id": None}, id="completed"),
    ],
)
def test_no_other_row_is_touched(requeue, tenant, enqueue, row, columns):
    id_ = enqueue("echo", tenant(), **FOREIGN | {"created_at": "2026-01-01"} | columns)
    before = row(id_)
    assert requeue("--older-than", "1h") == "nothing to requeue\n"
    assert requeue("--older-than", "1h", "--dry-run") == "nothing to requeue\n"
    assert row(id_) == before


def test_a_dry_run_lists_consumers_and_types_and_changes_nothing(requeue, tenant, enqueue, statuses):
    owner = tenant()
    for columns in ({"worker_id": "worker_1"}, {"worker_id": "worker_1"}, {"worker_id": None}):
        enqueue("echo", owner, status="processing", created_at="2026-01-01", attempts=3, **columns)
    head, first, second = requeue("--older-than", "1h", "--dry-run").splitlines()
    assert head.split() == ["JOBS", "OLDEST", "ATTEMPTS", "TYPE", "WORKER_ID"]
    assert [line.split()[0] for line in (first, second)] == ["2", "1"]
    assert (first.split()[2:], second.split()[2:]) == (["3", "echo", "worker_1"], ["3", "echo", "-"])
    assert statuses() == {"processing": 3}


def test_one_consumer_and_one_type_can_be_chosen_and_attempts_reset(requeue, tenant, enqueue, row):
    owner = tenant()
    old = {"status": "processing", "created_at": "2026-01-01", "attempts": 7}
    dead, other = (enqueue("echo", owner, worker_id=name, **old) for name in ("worker_1", "worker_2"))
    another_type = enqueue("b", owner, worker_id="worker_1", **old)
    chosen = ("--older-than", "0s", "--worker-id", "worker_1", "--type", "echo", "--reset-attempts")
    assert requeue(*chosen) == "requeued 1 jobs\n"
    assert (row(dead)["status"], row(dead)["attempts"]) == ("pending", 0)
    assert [row(id_)["status"] for id_ in (other, another_type)] == ["processing"] * 2


def test_a_row_that_its_consumer_has_locked_is_skipped(requeue, tenant, enqueue, connect, statuses):
    owner = tenant()
    locked, _ = (enqueue("echo", owner, created_at="2026-01-01", **FOREIGN) for _ in range(2))
    holder = connect(autocommit=False)
    holder.execute("SELECT FROM job_queue WHERE id = %s FOR UPDATE", [locked])
    assert requeue("--older-than", "1h") == "requeued 1 jobs\n"
    holder.rollback()
    assert statuses() == {"processing": 1, "pending": 1}


def test_a_role_of_workers_may_requeue(database, server, tenant, enqueue, connect, names, capsys):
    enqueue("echo", tenant(), created_at="2026-01-01", **FOREIGN)
    login = f"{next(names)}_login"
    connect().execute(f"CREATE ROLE {login} LOGIN IN ROLE jobtide_worker")
    url = server.url(psycopg.conninfo.conninfo_to_dict(database)["dbname"], user=login)
    assert main(["jobs", "requeue-foreign", "--database-url", url, "--older-than", "1h"]) == 0
    assert capsys.readouterr().out == "requeued 1 jobs\n"


@pytest.mark.parametrize("text", ["15", "m", "-1m", "1w", "infs", "1e9d", "99999d"])
def test_a_time_that_is_none_is_refused_before_anything_is_done(requeue, text, capsys):
    with pytest.raises(SystemExit):
        requeue(f"--older-than={text}")
    assert "expected a number with s, m, h or d, as in 15m" in capsys.readouterr().err


def test_a_refusal_of_the_server_is_one_sentence(requeue, tenant, enqueue, connect):
    enqueue("echo", tenant(), created_at="2026-01-01", **FOREIGN)
    connect().execute("ALTER TABLE job_queue ADD CHECK (status <> 'pending')")
    assert "violates check constraint" in requeue("--older-than", "1h", code=1)


# errors


@pytest.mark.parametrize(
    ("result", "text"),
    [
        pytest.param({"error": "disk full"}, "disk full", id="text"),
        pytest.param({"message": "disk full"}, "disk full", id="message"),
        pytest.param({"reason": "disk full"}, '{"reason": "disk full"}', id="another form"),
    ],
)
def test_at_the_attempt_limit_the_error_text_of_another_consumer_stays_readable(
    worker, tenant, enqueue, row, wait_until, result, text
):
    id_ = enqueue("echo", tenant(), attempts=5, result=json.dumps(result))
    worker(JOBTIDE_MAX_ATTEMPTS="5")
    found = wait_until(lambda: row(id_)["status"] == "failed" and row(id_))
    assert found["result"]["error"]["message"] == f"gave up after 5 attempts; the last one: {text}"


@pytest.mark.parametrize(("detail", "stored"), [(None, "frames"), ("message", "nothing"), ("full", "lines")])
def test_a_tenants_user_reads_no_path_or_source_line_of_a_handler_and_the_log_has_both(
    worker, tenant, enqueue, row, wait_until, detail, stored
):
    id_ = enqueue("boom", tenant(), attempts=1)
    process = worker(**{} if detail is None else {"JOBTIDE_ERROR_DETAIL": detail})
    found = wait_until(lambda: row(id_)["status"] == "failed" and row(id_))
    error = found["result"]["error"]
    assert error["message"] == "boom"
    if stored == "frames":
        assert re.fullmatch(r"runner\.py:\d+ in \w+\njobs\.py:\d+ in boom", error["traceback"])
    if stored == "nothing":
        assert "traceback" not in error
    assert ("/handlers/jobs.py" in str(error), "raise ValueError" in str(error)) == (stored == "lines",) * 2
    (logged,) = [json.loads(line) for line in process.log.read_text().splitlines() if "job failed" in line]
    assert "/handlers/jobs.py" in logged["error"]["traceback"]
    assert "raise ValueError" in logged["error"]["traceback"]


# a table that ignores ends


def test_a_worker_does_not_start_on_a_table_that_ignores_ends(worker, tenant, enqueue, row, connect):
    connect().execute(
        """CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF NEW.status = 'completed' THEN RETURN NULL; END IF; RETURN NEW; END $$;
           CREATE TRIGGER audit BEFORE UPDATE ON job_queue FOR EACH ROW EXECUTE FUNCTION quiet()"""
    )
    id_ = enqueue("echo", tenant())
    process = worker()
    assert process.popen.wait(60) == 1
    assert process.logged("gave no error and had no effect")
    assert process.logged("trigger audit")
    assert (row(id_)["status"], row(id_)["attempts"]) == ("pending", 0)


def test_a_worker_starts_beside_a_trigger_that_concerns_some_rows_alone(
    worker, tenant, enqueue, row, connect, wait_until
):
    connect().execute(
        """CREATE FUNCTION strict() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF NEW.payload = '{}' THEN RAISE 'an empty payload'; END IF; RETURN NEW; END $$;
           CREATE TRIGGER audit BEFORE UPDATE ON job_queue FOR EACH ROW EXECUTE FUNCTION strict()"""
    )
    id_ = enqueue("echo", tenant(), payload=7)
    worker()
    wait_until(lambda: row(id_)["status"] == "completed")
