"""A worker without Python code: programs as real processes, their outcomes in the table."""

from __future__ import annotations

import json
import signal
from pathlib import Path

SCRIPT = """
payload=$(cat)
case $JOBTIDE_TYPE-$payload in
  *again*) echo busy >&2; exit 75 ;;
  *wrong*) echo no such file >&2; exit 65 ;;
  *broken*) echo oops >&2; exit 1 ;;
  *) printf '{"payload": %s, "attempt": %s}' "$payload" "$JOBTIDE_ATTEMPT" ;;
esac
"""


def test_programs_alone_make_a_worker(worker, enqueue, tenant, row, wait_until):
    owner = tenant()
    kinds = ("fine", "again", "wrong", "broken")
    ids = {kind: enqueue("script", owner, {"kind": kind}) for kind in kinds}
    exec_ = json.dumps({"script": {"command": ["sh", "-c", SCRIPT], "max_attempts": 2}})
    process = worker("", JOBTIDE_EXEC=exec_)
    wait_until(lambda: all(row(id_)["completed_at"] for id_ in ids.values()))
    ends = {kind: (str(row(id_)["status"]), row(id_)["attempts"]) for kind, id_ in ids.items()}
    assert ends == {"fine": ("completed", 1), "again": ("failed", 2), "wrong": ("failed", 1), "broken": ("failed", 2)}
    assert row(ids["fine"])["result"] == {"payload": {"kind": "fine"}, "attempt": 1}
    error = row(ids["broken"])["result"]["error"]
    assert (error["type"], error["message"]) == ("ProgramFailed", "exit code 1: oops")
    assert "traceback" not in error
    assert process.end(signal.SIGTERM) == 0
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    assert {line["job"] for line in lines if line["message"] == "oops"} == {str(ids["broken"])}


def test_a_program_gets_the_database_url_only_if_it_asks_for_it(worker, enqueue, tenant, row, wait_until, tmp_path):
    command = ["sh", "-c", "env | grep -c ^JOBTIDE_DATABASE_URL; true"]
    ids = [enqueue(type_, tenant()) for type_ in ("plain", "asking")]
    worker("", JOBTIDE_EXEC=json.dumps({"plain": command, "asking": {"command": command, "database_url": True}}))
    wait_until(lambda: all(str(row(id_)["status"]) == "completed" for id_ in ids))
    assert [row(id_)["result"] for id_ in ids] == [0, 1]


def test_a_program_past_its_timeout_is_ended_and_tried_again(worker, enqueue, tenant, row, wait_until, tmp_path):
    id_ = enqueue("slow", tenant())
    command = f"echo $$ > {tmp_path}/pid; sleep 60; true"
    worker("", JOBTIDE_EXEC=json.dumps({"slow": {"command": ["sh", "-c", command], "timeout_seconds": 0.1}}),
           JOBTIDE_RETRY_BASE_SECONDS="600")  # fmt: skip
    wait_until(lambda: "error" in row(id_)["result"])
    error = row(id_)["result"]["error"]
    assert (error["type"], error["message"]) == (
        "TimeoutError",
        "ran longer than its 0.1 s and was cancelled (ProgramFailed)",
    )
    assert (str(row(id_)["status"]), row(id_)["attempts"]) == ("pending", 1)
    assert_ended(tmp_path / "pid", wait_until)


def test_a_program_that_outlives_the_drain_time_is_ended_and_its_job_requeued(
    worker, enqueue, tenant, row, wait_until, tmp_path
):
    id_ = enqueue("slow", tenant())
    command = f"trap '' TERM; echo $$ > {tmp_path}/pid; sleep 60; true"
    process = worker("", JOBTIDE_EXEC=json.dumps({"slow": ["sh", "-c", command]}), JOBTIDE_DRAIN_SECONDS="0")
    wait_until((tmp_path / "pid").exists)
    assert process.end(signal.SIGTERM) == 0
    assert (str(row(id_)["status"]), row(id_)["attempts"]) == ("pending", 0)
    assert_ended(tmp_path / "pid", wait_until)


def assert_ended(pid_file: Path, wait_until):
    pid = pid_file.read_text().strip()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())


def test_a_missing_program_stops_the_worker_at_its_start(worker):
    process = worker("", JOBTIDE_EXEC='{"t": "no-such-program"}')
    assert process.popen.wait(60) == 1
    assert "'no-such-program', which is not an executable here" in process.log.read_text()
