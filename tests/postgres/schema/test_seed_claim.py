"""The seed's own claim statement, from many connections, without Jobtide's worker."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg

CONNECTIONS = 50
JOBS = 1000

CLAIM = """
UPDATE job_queue
SET status='processing', worker_id=%s
WHERE id = (
  SELECT id
  FROM job_queue
  WHERE status='pending'
  ORDER BY created_at
  LIMIT 1
  FOR UPDATE SKIP LOCKED
)
RETURNING *
"""


def test_fifty_connections_claim_every_job_exactly_once_without_a_deadlock(database, connect, tenant):
    admin = connect()
    _insert(admin, tenant(), JOBS)
    together = Barrier(CONNECTIONS, timeout=60)

    def claim_all(worker: int) -> list[str]:
        claimed = []
        with psycopg.connect(database, autocommit=True) as conn:
            together.wait()
            while row := conn.execute(CLAIM, [f"worker_{worker}"]).fetchone():
                claimed.append(row[0])
        return claimed

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        claims = Counter(job for jobs in pool.map(claim_all, range(CONNECTIONS)) for job in jobs)

    assert len(claims) == JOBS
    assert set(claims.values()) == {1}
    assert admin.execute("SELECT status, count(*) FROM job_queue GROUP BY status").fetchall() == [("processing", JOBS)]
    # An error of any kind, 40P01 too, would have ended its thread; the server's own count is the second witness.
    assert admin.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone() == (0,)


def test_a_job_claimed_in_an_open_transaction_is_skipped_not_waited_for(connect, tenant):
    _insert(connect(), tenant(), 2)
    first, second = connect(autocommit=False), connect()
    second.execute("SET lock_timeout = '1s'")
    held = first.execute(CLAIM, ["worker_1"]).fetchone()
    claimed = second.execute(CLAIM, ["worker_2"]).fetchone()
    assert claimed[0] != held[0]
    assert second.execute(CLAIM, ["worker_2"]).fetchone() is None


def test_the_claim_walks_the_index_on_status_and_created_at(connect, tenant):
    conn = connect()
    _insert(conn, tenant(), 20000)
    conn.execute("UPDATE job_queue SET status = 'completed' WHERE random() < 0.9")
    conn.execute("VACUUM ANALYZE job_queue")
    plan = "\n".join(line for (line,) in conn.execute(f"EXPLAIN {CLAIM}", ["worker_1"]))
    assert "Index Scan using idx_job_queue_status_created_at on job_queue" in plan
    assert "Sort" not in plan
    assert "Seq Scan" not in plan


def _insert(conn, tenant_id, jobs: int) -> None:
    conn.execute(
        "INSERT INTO job_queue (tenant_id, type, created_at) "
        "SELECT %s, 't', now() + n * interval '1 microsecond' FROM generate_series(1, %s) AS n",
        [tenant_id, jobs],
    )
