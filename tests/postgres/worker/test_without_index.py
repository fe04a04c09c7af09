"""On a table without the index, everything stays correct and fair, and the worker logs the cost."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobtide.queue.caps import TenantCaps
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session

RING = Ring(("a", "b"))
NOISY_ROWS, QUIET_TENANTS = 3_000, 30


@pytest.fixture
def without_index(connect):
    connection = connect()
    connection.execute("DROP INDEX idx_job_queue_due")
    return connection


@pytest.fixture
def noisy(without_index, tenant):
    """One tenant with thousands of rows, and thirty with one each that came after them."""
    owner, quiet = tenant(), [tenant() for _ in range(QUIET_TENANTS)]
    without_index.execute(
        "INSERT INTO job_queue (tenant_id, type) SELECT %s, 'a' FROM generate_series(1, %s)", [owner, NOISY_ROWS]
    )
    without_index.execute("INSERT INTO job_queue (tenant_id, type) SELECT unnest(%s::uuid[]), 'b'", [quiet])
    without_index.execute("ANALYZE job_queue")
    return owner


def test_each_quiet_tenant_is_served_within_one_round(noisy, queue):
    one, ring, served = queue(), RING, Counter()
    for _ in range(QUIET_TENANTS + 2):
        claim = one.claim(ring, 1, 1)
        ring = claim.ring
        served.update(job.tenant_id for job in claim.jobs)
    assert len(served) == QUIET_TENANTS + 1
    assert served[noisy] <= 2


def test_racing_workers_claim_each_job_once_and_all_of_them(noisy, queue):
    def drain(number):
        one, ring, taken = queue(f"pod-{number}"), RING, []
        while (claim := one.claim(ring, 50, 50)).jobs:
            ring = claim.ring
            taken += [job.id for job in claim.jobs]
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [id_ for ids in pool.map(drain, range(4)) for id_ in ids]
    assert len(taken) == len(set(taken)) == NOISY_ROWS + QUIET_TENANTS


def test_a_cap_holds(noisy, database):
    capped = PostgresJobQueue(Session(lambda: database), pod_uid="pod", lease_seconds=60, caps=TenantCaps(3))
    served = Counter(job.tenant_id for job in capped.claim(RING, 50, 50).jobs)
    assert served[noisy] == 3
    assert len(served) == QUIET_TENANTS + 1
    capped.close()


def test_the_worker_logs_once_what_it_costs_and_what_to_run(without_index, worker, enqueue, tenant, row, wait_until):
    id_ = enqueue("echo", tenant(), "fine")
    process = worker()
    wait_until(lambda: row(id_)["status"] == "completed")
    log = process.log.read_text()
    assert log.count("idx_job_queue_due is missing") == 1
    assert "CREATE INDEX CONCURRENTLY idx_job_queue_due ON" in log.replace("IF NOT EXISTS ", "")
    assert "poll of an empty queue reads all pending rows" in log
