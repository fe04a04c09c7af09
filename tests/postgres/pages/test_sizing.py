"""What docs/sizing.md says of the table, on a real one."""

from __future__ import annotations

import re

from psycopg.types.json import Jsonb

from jobtide.job import End
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session
from tests.pages import ROOT, SIZING, shown

JOBS, BATCH = 5_000, 500
PAYLOAD, RESULT = (
    {"url": "https://example.com/uploads/2026/11/29/0001.png"},
    '{"small": "https://example.com/0001.png?width=120"}',
)


def test_an_ended_job_takes_the_space_that_the_page_says(database, connect, tenant):
    owners, connection = [tenant() for _ in range(20)], connect()
    connection.execute(
        """INSERT INTO job_queue (tenant_id, type, payload)
           SELECT (%s::uuid[])[1 + number %% 20], 'thumbs', %s FROM generate_series(1, %s) AS number""",
        [owners, Jsonb(PAYLOAD), JOBS],
    )
    queue, ring = PostgresJobQueue(Session(lambda: database), pod_uid="pod", lease_seconds=60), Ring(("thumbs",))
    while jobs := queue.claim(ring, BATCH, BATCH).jobs:
        queue.finish([End(job, "completed", RESULT) for job in jobs])
        connection.execute("VACUUM job_queue")  # as autovacuum does
    queue.close()
    (size,) = connection.execute("SELECT pg_total_relation_size('job_queue')").fetchone()
    (said,) = re.findall(r"takes \*\*([\d.]+) kB\*\*", (ROOT / SIZING).read_text())
    assert abs(size / JOBS / 1_000 - float(said)) < 0.1


def test_the_setting_of_autovacuum_is_that_of_a_new_table(connect):
    options = "SELECT reloptions FROM pg_class WHERE oid = 'job_queue'::regclass"
    connection = connect()
    made = connection.execute(options).fetchone()
    connection.execute("ALTER TABLE job_queue RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)")
    connection.execute(shown(SIZING, "autovacuum of the table"))
    assert connection.execute(options).fetchone() == made
