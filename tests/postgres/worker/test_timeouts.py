"""A handler past its timeout is notified, logged with its stack, and cancelled if that is possible."""

from __future__ import annotations

import json


def logged(process, message, type_):
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["message"] == message and line.get("type") == type_]


def test_a_plain_function_sees_its_cancellation_and_its_stack_is_logged(worker, enqueue, tenant, row, wait_until):
    id_ = enqueue("plain", tenant())
    process = worker("overdue:tide")
    wait_until(lambda: row(id_)["result"] == "saw it")
    (line,) = logged(process, "job runs past its timeout", "plain")
    assert "waits_for_cancellation" in line["stack"]
    assert "overdue.py" in line["stack"]
    assert (line["job"], str(row(id_)["status"])) == (str(id_), "completed")


def test_what_a_cancelled_function_raises_counts_as_the_timeout(worker, enqueue, tenant, row, wait_until):
    id_ = enqueue("raises", tenant())
    worker("overdue:tide")
    wait_until(lambda: str(row(id_)["status"]) == "failed")
    error = row(id_)["result"]["error"]
    assert (error["type"], error["message"]) == (
        "TimeoutError",
        "ran longer than its 0.2 s and was cancelled (RuntimeError)",
    )


def test_a_coroutine_is_cancelled_and_retried(worker, enqueue, tenant, row, wait_until, tmp_path):
    id_ = enqueue("coroutine", tenant(), {"file": str(tmp_path / "cleaned-up")})
    worker("overdue:tide", JOBTIDE_RETRY_BASE_SECONDS="600")
    wait_until(lambda: "error" in row(id_)["result"])
    error = row(id_)["result"]["error"]
    assert error["type"] == "TimeoutError"
    assert "CancelledError" in error["message"]
    assert (str(row(id_)["status"]), row(id_)["attempts"]) == ("pending", 1)
    assert row(id_)["next_retry_at"] is not None
    assert (tmp_path / "cleaned-up").exists()


def test_a_timeout_counts_from_the_handlers_start(worker, enqueue, tenant, row, wait_until):
    """Jobs that were claimed ahead wait in the process for longer than their timeout."""
    owner = tenant()
    ids = [enqueue("plain", owner) for _ in range(4)]
    process = worker("overdue:tide", JOBTIDE_CONCURRENCY="1", JOBTIDE_PREFETCH="3")
    wait_until(lambda: all(str(row(id_)["status"]) == "completed" for id_ in ids))
    assert all(
        "waits_for_cancellation" in line["stack"] for line in logged(process, "job runs past its timeout", "plain")
    )
