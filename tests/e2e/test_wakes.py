"""A pool at zero starts a worker in time for jobs that are due later."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from uuid import UUID

from dev.stage.images import ROOT
from dev.stage.watch import EventLog
from jobtide_controller.render.deployment import POOL_LABEL
from tests.e2e.work import Work, wait_for

APP = ROOT / "tests" / "e2e" / "app"
DUE_IN_SECONDS = 20
EARLY_SECONDS = 15  # before the first pod of a pool, the controller assumes that a start takes 10 s
LATE_SECONDS = 10  # an idle worker polls once a second, and machines that run tests stand still at times
SCHEDULE = """
INSERT INTO job_queue (tenant_id, type, payload, next_retry_at)
VALUES (%s, %s, '{"seconds": 0}', now() + make_interval(secs => %s)) RETURNING id
"""
DUE = """
SELECT id, extract(EPOCH FROM next_retry_at)::float8 FROM job_queue
WHERE tenant_id = %s AND type = %s AND status = 'pending' ORDER BY next_retry_at
"""


def test_a_cron_slot_and_a_scheduled_job_wake_pools_at_zero_in_time(work: Work) -> None:
    wait_for("a minute that lasts long enough to see the pool at zero", lambda: time.time() % 60 < 60 - EARLY_SECONDS)
    with work.watch("pods") as pods:
        env = [{"name": "CRON_TENANT", "value": str(work.tenant)}]
        work.apply_pool("cron", ["cron.hold"], container={"env": env})
        work.apply_pool("scheduled", ["scheduled.hold"])
        add_cron_slots(work)
        with work.stage.postgres.connect("main") as conn:
            conn.execute(SCHEDULE, [work.tenant, "scheduled.hold", DUE_IN_SECONDS])

        jobs = {pool: waiting(work, f"{pool}.hold")[0] for pool in ("scheduled", "cron")}

        for pool, (job, due_at) in jobs.items():
            work.wait_completed(job)
            started_at = first_pod_at(pods, pool)
            assert 0 < due_at - started_at < EARLY_SECONDS
            claimed_at = work.history([job])[job][0].at
            assert 0 <= claimed_at - due_at < LATE_SECONDS

    ((_, next_at),) = wait_for("the slot after it, from the worker that ran it", lambda: waiting(work, "cron.hold"))
    assert next_at == jobs["cron"][1] + 60


def add_cron_slots(work: Work) -> None:
    """As a user does before the first worker runs."""
    environ = {"CRON_TENANT": str(work.tenant), "JOBTIDE_DATABASE_URL": work.stage.postgres.url("main")}
    command = [sys.executable, "-m", "jobtide", "cron", "handlers:tide"]
    subprocess.run(command, env={**os.environ, **environ}, cwd=APP, check=True)


def waiting(work: Work, type_: str) -> list[tuple[UUID, float]]:
    """Each pending job, and when it is due."""
    with work.stage.postgres.connect("main") as conn:
        return conn.execute(DUE, [work.tenant, type_]).fetchall()


def first_pod_at(pods: EventLog, pool: str) -> float:
    return next(event.at for event in pods.events if event.object["metadata"]["labels"][POOL_LABEL] == pool)
