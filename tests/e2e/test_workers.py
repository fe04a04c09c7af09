"""Workers that are killed, are deleted or lose their pool in mid-job: every job ends exactly once."""

from __future__ import annotations

from dataclasses import replace

from dev.stage.job_table import JobTable
from dev.stage.postgres import CONTROLLER, WORKER
from dev.stage.stage import RELEASE, SYSTEM_NAMESPACE, WORKER_SECRET
from tests.e2e.work import Work, wait_for

# From the deletion of the pod to the requeue of its jobs; by its lease alone it would be over a minute.
BACK_SECONDS = 15

# The first process of a container can't be killed from inside, so these pods share one process namespace.
CAN_BE_KILLED = {"shareProcessNamespace": True}
KILL_WORKER = """
import os, pathlib, signal
for entry in pathlib.Path("/proc").glob("[0-9]*"):
    if b"jobtide\\0worker" in (entry / "cmdline").read_bytes():
        os.kill(int(entry.name), signal.SIGKILL)
"""


def with_pod(work: Work, **pod: object) -> dict[str, object]:
    return {"template": {"spec": {"containers": [{"name": "worker", "image": work.image}], **pod}}}


def test_a_job_whose_worker_is_killed_runs_again_apart_and_loses_no_attempt(work: Work) -> None:
    work.apply_pool("crash", ["crash.hold"], **with_pod(work, **CAN_BE_KILLED))
    (job,) = work.insert("crash.hold", {"first_seconds": 600, "seconds": 1})
    pod = work.wait_processing(job)

    work.kubectl("exec", pod, "--", "python3", "-c", KILL_WORKER)

    (row,) = work.wait_completed(job)
    assert row.attempts == 1  # a crash counts only for a job that ran alone: this one has not been proven guilty
    assert row.result == {"held_seconds": 1}


def test_jobs_of_a_deleted_pod_are_requeued_within_seconds(work: Work) -> None:
    work.apply_pool("evict", ["evict.hold"])
    (job,) = work.insert("evict.hold", {"first_seconds": 600, "seconds": 600})
    pod = work.wait_processing(job)
    with work.watch("pods") as pods:
        work.kubectl("delete", "pod", pod, "--force", "--grace-period=0")

        deleted_at = pods.first("the deletion of the pod", lambda event: event.type == "DELETED").at
        back = wait_for("the requeue of its job", lambda: work.history([job])[job][1:])
    assert back[0].became == "pending"
    assert back[0].at - deleted_at < BACK_SECONDS


def test_a_pool_needs_no_python_code_of_its_own(work: Work) -> None:
    """Only the worker's image and programs, which get the payload on stdin."""
    commands = {"exec.echo": "cat", "exec.refuse": "sh -c 'echo no such customer >&2; exit 65'"}
    args = [argument for type_, command in commands.items() for argument in ("--exec", f"{type_}={command}")]
    work.apply_pool("exec", list(commands), container={"image": work.stage.images.worker, "args": args})
    (echo,) = work.insert("exec.echo", {"say": "hello"})
    (refuse,) = work.insert("exec.refuse", {})

    (row,) = work.wait_completed(echo)
    assert row.result == {"say": "hello"}
    wait_for("the other job having failed", lambda: work.row(refuse).status == "failed")
    assert work.row(refuse).result["error"]["message"].endswith("no such customer")


def test_deleting_a_pool_ends_its_workers_and_loses_no_job(work: Work) -> None:
    work.apply_pool("pool", ["pool.hold"])
    (job,) = work.insert("pool.hold", {"seconds": 8})
    work.wait_processing(job)

    work.kubectl("delete", "jwp", "pool", "--timeout=120s")

    wait_for("the Deployment going", lambda: not work.kubectl_json("get", "deployments")["items"])
    wait_for("the workers going", lambda: not work.pods())
    (row,) = work.wait_completed(job)
    assert row.attempts == 1


def test_a_pool_of_another_database_works_there(work: Work) -> None:
    table = JobTable(work.stage.postgres, "second")
    table.clear()
    (tenant,) = table.add_tenants([work.namespace])
    there = replace(work, table=table, tenant=tenant)
    url = work.stage.postgres.service_url("second", WORKER)
    work.stage.kubectl.apply_secret(work.namespace, WORKER_SECRET, {"url": url})
    there.apply_pool("second", ["second.hold"], database="second")

    there.wait_completed(*there.insert("second.hold", {"seconds": 0}, count=3))


def test_a_worker_that_row_level_security_blinds_ends_with_the_reason(work: Work, blind_user: str) -> None:
    postgres = work.stage.postgres
    url = postgres.service_url("main", CONTROLLER).replace(f"//{CONTROLLER}:", f"//{blind_user}:")
    work.stage.kubectl.apply_secret(work.namespace, WORKER_SECRET, {"url": url})
    work.apply_pool("blind", ["blind.hold"])
    work.insert("blind.hold", {"seconds": 0})

    work.wait_condition("blind", "Stalled", "True", "CrashLoop")
    (pod,) = (pod["metadata"]["name"] for pod in work.pods())
    log = wait_for("the worker's log", lambda: work.kubectl("logs", pod))
    assert f"row level security stops role {blind_user}" in log
    assert postgres.passwords[CONTROLLER] not in log


def test_a_namespace_is_deleted_within_a_minute_without_a_controller(work: Work) -> None:
    work.apply_pool("namespace", ["namespace.hold"])
    (job,) = work.insert("namespace.hold", {"seconds": 2}, count=1)
    work.wait_processing(job)
    scale = ("scale", f"deployment/{RELEASE}", "--namespace", SYSTEM_NAMESPACE)
    work.stage.kubectl(*scale, "--replicas", "0")
    try:
        work.stage.kubectl("delete", "namespace", work.namespace, "--timeout", "60s")
    finally:
        work.stage.kubectl(*scale, "--replicas", "1")
        rollout = ("rollout", "status", f"deployment/{RELEASE}", "--namespace", SYSTEM_NAMESPACE)
        work.stage.kubectl(*rollout, "--timeout", "120s")
