"""How many connections a worker opens: the connection budget of a database is divided by this number."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from jobtide_controller.decide.connection_shares import HELD_BY_WORKER

JOBS = 300


def test_a_worker_holds_as_many_connections_as_the_budget_assumes(
    run_worker, worker_role, app, insert, wait_until, tmp_path
):
    def open_now() -> int:
        return app.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [worker_role]).fetchone()[0]

    def completed() -> int:
        seen.add(open_now())
        return app.execute("SELECT count(*) FROM job_queue WHERE status = 'completed'").fetchone()[0]

    def extended() -> bool:
        seen.add(open_now())
        lease = "SELECT next_retry_at > %s FROM job_queue WHERE id = %s AND status = 'processing'"
        row = app.execute(lease, [claimed_until, long]).fetchone()
        return row is not None and row[0]

    seen: set[int] = set()
    for _ in range(JOBS):
        insert("echo")
    long = insert("wait")
    app.execute("UPDATE job_queue SET payload = %s WHERE id = %s", [Jsonb({"file": str(tmp_path / "go")}), long])
    run_worker()
    wait_until(lambda: completed() == JOBS)
    (claimed_until,) = app.execute("SELECT next_retry_at FROM job_queue WHERE id = %s", [long]).fetchone()
    wait_until(extended)
    (tmp_path / "go").touch()
    wait_until(lambda: completed() == JOBS + 1)
    assert open_now() == max(seen) == HELD_BY_WORKER, "never more: at full work, with a lease to extend, and idle again"
