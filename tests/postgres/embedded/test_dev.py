"""`jobtide dev` from its start to its end, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.pages import DEV, shown
from tests.postgres.embedded.conftest import edit

APP = "acme.jobs:tide"
QUICK = (APP, "-f", "pools.yaml")
GUARD = "while read"


def begun(folder: Path, name: str):
    return (folder / f"{name}.begun").exists


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def guard_of(process) -> int:
    (pid,) = [child.pid for child in psutil.Process(process.popen.pid).children() if GUARD in " ".join(child.cmdline())]
    return pid


def test_a_job_wakes_a_worker_and_the_last_one_ends_when_no_job_is_left(dev, folder, enqueue, rows, wait_until):
    process = dev(*QUICK)
    enqueue("echo", 3)
    wait_until(lambda: [row["status"] for row in rows()] == ["completed"] * 3)
    assert rows()[0]["result"] == {"code": "old"}
    wait_until(lambda: process.says("-> 0 workers") and not process.workers)
    assert process.says("default/quick: 0 -> ")
    assert process.end() == 0
    assert process.says("stopped")


def test_without_a_file_one_pool_has_all_types_of_the_application(dev, enqueue, statuses, wait_until):
    process = dev(APP)
    enqueue("echo")
    wait_until(lambda: statuses() == {"completed": 1})
    assert process.says("default/dev: 0 -> ")
    assert process.says("working on echo, hold, wrong")


def test_a_failed_job_is_a_line_with_its_error_and_the_lines_of_its_handler(dev, enqueue, statuses, wait_until):
    process = dev(*QUICK)
    (job,) = enqueue("wrong")
    wait_until(lambda: statuses() == {"failed": 1} and process.says("job failed"))
    wait_until(lambda: process.says("ValueError: no such film"))
    assert str(job) in process.output
    assert "acme/jobs.py" in process.output


def test_metrics_are_those_of_the_controller(dev, enqueue, folder, wait_until):
    process = dev(*QUICK)
    enqueue("hold", payload={"file": str(folder / "go")})
    wait_until(begun(folder, "go"))

    def metrics() -> str:
        with urllib.request.urlopen(f"{process.url}/metrics", timeout=5) as answer:
            return answer.read().decode()

    wait_until(lambda: 'jobtide_pool_busy_replicas{namespace="default",pool="quick"} 1.0' in metrics())
    assert "jobtide_database_readable" in metrics()
    (folder / "go").touch()


def test_a_scale_down_stops_idle_workers_and_no_busy_one(dev, enqueue, folder, rows, wait_until):
    edit(folder / "pools.yaml", "concurrency: 1", "concurrency: 1\n  maxWaitSeconds: 1\n  maxReplicas: 3")
    process = dev(*QUICK)
    for name in ("a", "b", "c"):
        enqueue("hold", payload={"file": str(folder / name)})
    wait_until(lambda: all(begun(folder, name)() for name in "abc"))
    (folder / "a").touch()
    (folder / "b").touch()
    wait_until(lambda: process.says("-> 1 workers") and len(process.workers) == 1)
    assert [row["status"] for row in rows()] == ["completed", "completed", "processing"]
    (folder / "c").touch()
    wait_until(lambda: rows()[2]["status"] == "completed")
    assert [row["attempts"] for row in rows()] == [1, 1, 1]


def test_the_jobs_of_a_killed_worker_run_again_at_once(dev, enqueue, folder, rows, wait_until):
    process = dev(*QUICK)
    enqueue("hold", payload={"file": str(folder / "go")})
    wait_until(begun(folder, "go"))
    (folder / "go.begun").unlink()
    (victim,) = process.workers
    os.killpg(victim, signal.SIGKILL)
    wait_until(begun(folder, "go"))
    assert process.says("was ended by SIGKILL")
    (folder / "go").touch()
    wait_until(lambda: rows()[0]["status"] == "completed")
    assert process.says("requeued, attempt counted")


def test_after_a_kill_no_worker_is_left_and_the_next_start_runs_the_jobs(dev, enqueue, folder, rows, wait_until):
    killed = dev(*QUICK)
    enqueue("hold", payload={"file": str(folder / "go")})
    wait_until(begun(folder, "go"))
    left = {*killed.workers, guard_of(killed)}
    (folder / "go.begun").unlink()
    killed.end(signal.SIGKILL)
    wait_until(lambda: not any(map(alive, left)))
    assert rows()[0]["status"] == "pending"  # the worker returned it
    dev(*QUICK)
    wait_until(begun(folder, "go"))
    (folder / "go").touch()
    wait_until(lambda: rows()[0]["status"] == "completed")
    assert rows()[0]["attempts"] == 1  # the session was killed, which is no fault of the job


def test_the_jobs_of_workers_that_were_killed_with_the_session_are_rescued_by_the_next(
    dev, enqueue, folder, rows, wait_until
):
    killed = dev(*QUICK)
    enqueue("hold", payload={"file": str(folder / "go")})
    wait_until(begun(folder, "go"))
    (worker,) = killed.workers
    (folder / "go.begun").unlink()
    os.kill(guard_of(killed), signal.SIGKILL)
    killed.end(signal.SIGKILL)
    os.killpg(worker, signal.SIGKILL)
    assert rows()[0]["status"] == "processing"
    started = dev(*QUICK)
    wait_until(begun(folder, "go"))
    assert started.says("1 jobs of gone worker")
    (folder / "go").touch()
    wait_until(lambda: rows()[0]["status"] == "completed")
    assert rows()[0]["attempts"] == 1


def test_ctrl_c_lets_running_jobs_end_and_leaves_no_process(dev, enqueue, folder, rows, wait_until):
    process = dev(*QUICK)
    enqueue("hold", payload={"file": str(folder / "go")})
    wait_until(begun(folder, "go"))
    left = {*process.workers, guard_of(process)}
    process.send(signal.SIGINT)
    wait_until(lambda: process.says("1 workers finish their jobs"))
    wait_until(lambda: process.says("1 running jobs have 600 s to finish"))
    (folder / "go").touch()
    assert process.popen.wait(60) == 0
    assert not any(map(alive, left))
    assert rows()[0]["status"] == "completed"


def test_a_second_ctrl_c_ends_all_at_once(dev, enqueue, folder, rows, wait_until):
    process = dev(*QUICK)
    enqueue("hold", payload={"file": str(folder / "go")})
    wait_until(begun(folder, "go"))
    left = {*process.workers, guard_of(process)}
    process.send(signal.SIGINT)
    wait_until(lambda: process.says("1 workers finish their jobs"))
    assert process.end(signal.SIGINT, seconds=10) == 130
    assert not any(map(alive, left))
    assert (rows()[0]["status"], rows()[0]["attempts"]) == ("pending", 0)


def test_a_second_ctrl_c_ends_programs_too(dev, enqueue, folder, wait_until):
    edit(folder / "pools.yaml", "[echo, hold, wrong]", "[program]")
    program = f'{{"program": ["sh", "-c", "echo $$ > {folder}/pid; sleep 600"]}}'
    process = dev(*QUICK, JOBTIDE_EXEC=program)
    enqueue("program")
    wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
    process.send(signal.SIGINT)
    wait_until(lambda: process.says("1 workers finish their jobs"))
    assert process.end(signal.SIGINT, seconds=10) == 130
    wait_until(lambda: not alive(int((folder / "pid").read_text())))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_closed_terminal_or_a_supervisor_ends_it_as_ctrl_c_does(dev, number, wait_until):
    process = dev(*QUICK)
    wait_until(lambda: process.says("can be read"))
    assert process.end(number) == 0


def test_workers_get_the_new_code_and_jobs_of_the_old_one_end_first(dev, enqueue, folder, rows, wait_until):
    process = dev(*QUICK)
    enqueue("hold", payload={"file": str(folder / "go")})
    wait_until(begun(folder, "go"))
    edit(folder / "acme/jobs.py", '"old"', '"new!"')
    wait_until(lambda: process.says("jobs.py changed: the workers are replaced as they finish their jobs"))
    enqueue("echo")
    wait_until(lambda: rows()[1]["status"] == "completed")
    assert rows()[1]["result"] == {"code": "new!"}
    assert rows()[0]["status"] == "processing"
    (folder / "go").touch()
    wait_until(lambda: rows()[0]["status"] == "completed")
    assert rows()[0]["result"] == {"code": "old"}
    assert rows()[0]["attempts"] == 1


def test_a_new_handler_gets_workers_without_a_restart(dev, enqueue, folder, statuses, wait_until):
    process = dev(APP)
    wait_until(lambda: process.says("can be read"))
    enqueue("later")
    edit(folder / "acme/jobs.py", 'tide.job("echo")', 'tide.job("later")')
    wait_until(lambda: statuses() == {"completed": 1})


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        pytest.param('CODE = "old"', "CODE = (", "acme/jobs.py:9: SyntaxError: '(' was never closed", id="syntax"),
        pytest.param("import time\n", "import tiem\n", "acme/jobs.py:3: ModuleNotFoundError: No module", id="import"),
        pytest.param('CODE = "old"', "CODE = 1 / 0", "acme/jobs.py:9: ZeroDivisionError: division", id="exception"),
    ],
)
def test_code_that_cannot_be_imported_keeps_the_old_workers(
    dev, enqueue, folder, rows, wait_until, before, after, words
):
    process = dev(*QUICK)
    enqueue("hold", payload={"file": str(folder / "go")})
    wait_until(begun(folder, "go"))
    edit(folder / "acme/jobs.py", before, after)
    said = re.match(r"\S+ (.*: )acme/jobs\.py", shown(DEV, "broken file"))[1]
    wait_until(lambda: process.says(said + words))
    enqueue("echo")
    (folder / "go").touch()
    wait_until(lambda: [row["status"] for row in rows()] == ["completed"] * 2)
    assert rows()[1]["result"] == {"code": "old"}
    for worker in process.workers:
        os.kill(worker, signal.SIGTERM)
    enqueue("echo")
    wait_until(lambda: process.says("no worker can start: " + words))
    assert "Traceback" not in process.output
    edit(folder / "acme/jobs.py", after, before.replace("old", "new!"))
    wait_until(lambda: rows()[2]["status"] == "completed")


def test_without_reload_the_workers_keep_their_code(dev, enqueue, folder, rows, wait_until):
    process = dev(*QUICK, "--no-reload")
    enqueue("hold", payload={"file": str(folder / "go")})
    wait_until(begun(folder, "go"))
    edit(folder / "acme/jobs.py", '"old"', '"new!"')
    (folder / "go").touch()
    enqueue("echo", 3)
    wait_until(lambda: [row["status"] for row in rows()] == ["completed"] * 4)
    assert not process.says("changed")


def test_a_worker_that_cannot_start_is_a_condition_of_its_pool(dev, enqueue, folder, wait_until):
    edit(
        folder / "acme/jobs.py",
        "tide = Tide()",
        'import os, sys\ntide = Tide()\nif os.environ.get("JOBTIDE_POOL"): sys.exit(7)',
    )
    process = dev(*QUICK)
    enqueue("echo")
    wait_until(lambda: process.says("default/quick: Stalled: CrashLoopBackOff"))
    assert process.says("exited with 7")


def test_the_session_needs_no_kubernetes_library(folder):
    loaded = "import sys, jobtide_controller.embedded.command; print(*sys.modules)"
    import subprocess

    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert "jobtide_controller.embedded.app" in modules
    assert not [name for name in modules if name.split(".")[0] in {"kopf", "kubernetes"}]


def test_ended_jobs_go_after_their_time_and_a_type_without_a_pool_is_named(dev, folder, enqueue, connect, wait_until):
    edit(folder / "pools.yaml", "types: [echo, hold, wrong]", "types: [echo]\n  retention: {completedSeconds: 3600}")
    enqueue("echo", 5)
    enqueue("hold", 2)
    table = connect()
    table.execute(
        "UPDATE job_queue SET created_at = now() - interval '2 hours';"
        "UPDATE job_queue SET status = 'completed', completed_at = created_at WHERE type = 'echo'"
    )
    process = dev("acme.jobs:tide", "-f", "pools.yaml")
    wait_until(lambda: process.says("jobs of 'hold' (2) wait in database main, and no pool handles them"))

    def status():
        with urllib.request.urlopen(f"{process.url}/pools", timeout=5) as answer:
            return json.load(answer)["items"][0]["status"]

    wait_until(lambda: status().get("retention", {}).get("deleted") == 5)
    assert [one["type"] for one in status()["unserved"]] == ["hold"]
    assert table.execute("SELECT type, count(*) FROM job_queue GROUP BY type").fetchall() == [("hold", 2)]
