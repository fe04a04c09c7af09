"""Rows that PostgreSQL stores and Python can't read fail alone: they stop no worker and none of the batch."""

from __future__ import annotations

import pytest

from dev.chaos.hostile import Hostile


@pytest.fixture
def neighbours(enqueue, tenant):
    return [enqueue("echo", tenant(), number) for number in range(3)]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b'{"n": 1' + b"0" * 5_000 + b"}", "4300 digits", id="a number of 5,000 digits"),
        pytest.param(b"[" * 2_000 + b"]" * 2_000, "recursion", id="2,000 levels"),
    ],
)
def test_a_payload_that_python_cannot_read_fails_its_job_alone(
    worker, neighbours, enqueue, tenant, connect, row, wait_until, payload, reason
):
    id_ = enqueue("echo", tenant())
    connect().execute("UPDATE job_queue SET payload = %s::text::jsonb WHERE id = %s", [payload.decode(), id_])
    worker()
    wait_until(lambda: {row(job)["status"] for job in neighbours} == {"completed"})
    answer = "SELECT status::text, attempts, result->'error'->>'message' FROM job_queue WHERE id = %s"
    watching = connect()
    status, attempts, message = wait_until(
        lambda: watching.execute(f"{answer} AND status = 'failed'", [id_]).fetchone()
    )
    assert (status, attempts) == ("failed", 1)
    assert reason in message


def test_a_last_error_that_python_cannot_read_fails_its_job_alone(
    worker, neighbours, enqueue, tenant, connect, row, wait_until
):
    id_, conn = enqueue("echo", tenant(), attempts=100), connect()
    conn.execute("UPDATE job_queue SET result = %s::jsonb WHERE id = %s", ["[" * 2_000 + "]" * 2_000, id_])
    process = worker()
    answer = "SELECT result->'error'->>'message' FROM job_queue WHERE status = 'failed'"
    (message,) = wait_until(lambda: conn.execute(answer).fetchone())
    assert "the last one: not readable: maximum recursion" in message
    wait_until(lambda: {row(job)["status"] for job in neighbours} == {"completed"})
    assert process.popen.poll() is None


def test_a_worker_outlives_a_tenant_that_writes_any_row(worker, neighbours, enqueue, tenant, connect, row, wait_until):
    hostile = Hostile(connect=connect, tenant=tenant(), other=tenant(), types=("echo", "boom"), seed=1)
    process, conn = worker(), connect()
    for _ in range(250):
        hostile.act(conn)
    assert hostile.writing.stored > 100
    last = enqueue("echo", tenant(), 9)
    wait_until(lambda: {row(job)["status"] for job in (*neighbours, last)} == {"completed"})
    assert process.popen.poll() is None, process.log.read_text()[-5_000:]


@pytest.mark.parametrize("column", ["created_at", "next_retry_at"])
def test_a_time_before_python_time_is_due_like_any_other(
    worker, neighbours, enqueue, tenant, connect, row, wait_until, column
):
    """Other languages' zero times: Go's is the year 1, which in a western timezone is the year before."""
    id_ = enqueue("echo", tenant(), "old")
    connect().execute(f"UPDATE job_queue SET {column} = '0001-12-31 BC' WHERE id = %s", [id_])
    worker()
    ended = "SELECT count(*) FROM job_queue WHERE status = 'completed'"
    watching = connect()
    wait_until(lambda: watching.execute(ended).fetchone() == (4,))


def test_progress_that_cannot_be_stored_fails_its_job_alone(worker, neighbours, enqueue, tenant, row, wait_until):
    id_ = enqueue("progress", tenant())
    worker("poison:tide", JOBTIDE_LEASE_SECONDS="1", JOBTIDE_MAX_ATTEMPTS="1")
    wait_until(lambda: row(id_)["status"] == "failed")
    assert "the progress holds the character U+0000" in row(id_)["result"]["error"]["message"]
    wait_until(lambda: {row(job)["status"] for job in neighbours} == {"completed"})
