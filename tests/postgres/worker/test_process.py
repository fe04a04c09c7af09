"""`jobtide worker` as a real process: outcomes, real signals, real kills, an outage of the database."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter

import pytest

from tests.postgres.worker.conftest import HANDLERS

pytestmark = pytest.mark.any_version


def ended(statuses, count):
    return lambda: sum(statuses().get(status, 0) for status in ("completed", "failed")) == count


def test_jobs_of_every_kind_end_as_their_handlers_decide(worker, enqueue, tenant, statuses, row, wait_until):
    owner = tenant()
    echo = enqueue("echo", owner, {"deep": [1, {"x": None}], "big": 2**70})
    boom = enqueue("boom", owner)
    fail = enqueue("say", owner, {"end": "fail"})
    nul = enqueue("say", owner, {"end": "nul"})
    malformed = enqueue("note", owner, ["not an object"])
    worker(JOBTIDE_MAX_ATTEMPTS="1")
    wait_until(ended(statuses, 5))
    assert row(echo)["result"] == {"deep": [1, {"x": None}], "big": 2**70}
    assert (row(boom)["status"], row(boom)["attempts"]) == ("failed", 2)
    assert row(boom)["result"]["error"]["type"] == "ValueError"
    assert "jobs.py" in row(boom)["result"]["error"]["traceback"]
    assert (row(fail)["attempts"], row(fail)["result"]["error"]["message"]) == (1, "no use")
    assert row(nul)["result"]["error"]["message"] == "a␀b"
    assert (row(malformed)["attempts"], row(malformed)["status"]) == (1, "failed")
    assert row(malformed)["result"]["error"]["message"] == "payload is not valid: expected an object, got list"


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("nan", "not a JSON value"),
        ("set", "Object of type set"),
        ("nul", "U+0000"),
        ("large", "the limit is 1048576"),
        ("digits", "Exceeds the limit (4300 digits)"),
    ],
)
def test_a_result_that_cannot_be_stored_fails_its_job_alone(
    worker, enqueue, tenant, statuses, row, wait_until, what, reason
):
    owner = tenant()
    bad = enqueue("returns", owner, {"what": what})
    good = [enqueue("echo", owner, number) for number in range(20)]
    worker(JOBTIDE_CONCURRENCY="8")
    wait_until(ended(statuses, 21))
    assert reason in row(bad)["result"]["error"]["message"]
    assert {row(id_)["status"] for id_ in good} == {"completed"}


def test_snoozed_and_retried_jobs_are_due_after_their_delay(worker, enqueue, tenant, row, wait_until):
    snoozed = enqueue("say", tenant(), {"end": "snooze", "after": 600})
    retried = enqueue("say", tenant(), {"end": "retry", "after": 600})
    worker()
    wait_until(lambda: all(row(id_)["next_retry_at"] and row(id_)["status"] == "pending" for id_ in (snoozed, retried)))
    assert (row(snoozed)["attempts"], row(retried)["attempts"]) == (0, 1)


def test_sigterm_lets_running_jobs_finish_and_claims_no_more(worker, enqueue, tenant, row, wait_until, tmp_path):
    plain = enqueue("wait", tenant(), {"file": str(tmp_path / "go")})
    coroutine = enqueue("async.wait", tenant(), {"file": str(tmp_path / "go")})
    process = worker()
    wait_until(lambda: row(plain)["status"] == "processing" and (tmp_path / "go.begun").exists())
    process.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: process.logged("stopping: 2 running jobs"))
    later = enqueue("echo", tenant())
    (tmp_path / "go").touch()
    assert process.popen.wait(60) == 0
    assert [row(id_)["status"] for id_ in (plain, coroutine, later)] == ["completed", "completed", "pending"]


def test_a_job_that_outlives_the_drain_time_is_requeued_with_its_attempt(
    worker, enqueue, tenant, row, wait_until, tmp_path
):
    heeding = enqueue("wait", tenant(), {"file": str(tmp_path / "never")})
    deaf = enqueue("wait", tenant(), {"file": str(tmp_path / "never"), "heeds": False})
    process = worker(JOBTIDE_DRAIN_SECONDS="0")
    wait_until(lambda: {row(heeding)["status"], row(deaf)["status"]} == {"processing"})
    assert process.end(signal.SIGTERM) == 0
    assert [(row(id_)["status"], row(id_)["attempts"]) for id_ in (heeding, deaf)] == [("pending", 0)] * 2


def test_a_second_signal_requeues_at_once(worker, enqueue, tenant, row, wait_until, tmp_path):
    deaf = enqueue("wait", tenant(), {"file": str(tmp_path / "never"), "heeds": False})
    process = worker(JOBTIDE_DRAIN_SECONDS="600")
    wait_until(lambda: row(deaf)["status"] == "processing")
    process.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: process.logged("stopping"))
    assert process.end(signal.SIGINT) == 0
    assert (row(deaf)["status"], row(deaf)["attempts"]) == ("pending", 0)


def test_the_successor_of_a_killed_process_requeues_its_jobs(worker, enqueue, tenant, row, wait_until, tmp_path):
    id_ = enqueue("wait", tenant(), {"file": str(tmp_path / "go")})
    first = worker(JOBTIDE_POD_UID="pod-1")
    wait_until(lambda: row(id_)["status"] == "processing")
    first.end(signal.SIGKILL)
    (tmp_path / "go").touch()
    worker(JOBTIDE_POD_UID="pod-1")
    wait_until(lambda: row(id_)["status"] == "completed")
    assert row(id_)["attempts"] == 1


def test_a_job_that_kills_its_process_ends_as_failed_after_its_attempts(worker, enqueue, tenant, row, wait_until):
    id_ = enqueue("killer", tenant())
    process = worker(JOBTIDE_POD_UID="pod-1")
    assert process.popen.wait(60) == -signal.SIGKILL
    process = worker(JOBTIDE_POD_UID="pod-1")  # runs it in a process of its own
    wait_until(lambda: row(id_)["status"] == "failed")
    assert (row(id_)["attempts"], process.popen.poll()) == (3, None)
    assert "killed by SIGKILL" in row(id_)["result"]["error"]["message"]


def test_long_jobs_keep_their_lease_and_store_progress(worker, enqueue, tenant, row, wait_until, tmp_path):
    id_ = enqueue("wait", tenant(), {"file": str(tmp_path / "go")})
    worker(JOBTIDE_LEASE_SECONDS="1")
    wait_until(lambda: row(id_)["status"] == "processing")
    first = row(id_)["next_retry_at"]
    wait_until(lambda: (row(id_)["next_retry_at"] - first).total_seconds() > 1)
    assert row(id_)["result"] == {"progress": {"fraction": 0.5, "note": "waiting"}}
    (tmp_path / "go").touch()
    wait_until(lambda: row(id_)["status"] == "completed")
    assert row(id_)["attempts"] == 1


@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_an_outage_of_the_database_loses_nothing(worker, own_server, own_database, connect, wait_until, tmp_path, mode):
    """Side effects at least once, ends exactly once, even if the server crashes between batches."""
    with connect(own_database) as connection:
        (owner,) = connection.execute("INSERT INTO tenants DEFAULT VALUES RETURNING id").fetchone()
        connection.execute(
            """INSERT INTO job_queue (tenant_id, type, payload)
               SELECT %s, 'note', jsonb_build_object('file', %s::text, 'line', n::text)
               FROM generate_series(1, 3000) AS n""",
            [owner, str(tmp_path / "notes")],
        )
    process = worker(JOBTIDE_DATABASE_URL=own_database, JOBTIDE_CONCURRENCY="8")
    wait_until(lambda: (tmp_path / "notes").exists() and len(notes(tmp_path)) > 300)
    own_server.stop(mode)
    wait_until(lambda: process.logged("database unreachable"))
    own_server.start()
    with connect(own_database) as connection:
        count = "SELECT count(*) FILTER (WHERE status = 'completed'), count(*) FROM job_queue"
        wait_until(lambda: connection.execute(count).fetchone() == (3000, 3000))
    assert set(notes(tmp_path)) == {str(number) for number in range(1, 3001)}
    assert process.end(signal.SIGTERM) == 0


def notes(folder):
    return Counter((folder / "notes").read_text().split())


def test_probes_and_metrics_are_served(worker, enqueue, tenant, statuses, wait_until):
    port = str(free_port())
    enqueue("echo", tenant())
    worker(JOBTIDE_HTTP_PORT=port)
    wait_until(lambda: fetch(port, "/readyz") == 200)
    wait_until(ended(statuses, 1))
    assert fetch(port, "/livez") == 200
    assert fetch(port, "/nothing") == 404
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert 'jobtide_worker_jobs_total{outcome="completed",type="echo"} 1' in text
    # A counter that begins with its first event hides it from increase().
    assert 'jobtide_worker_leases_lost_total{during="extend"} 0' in text
    assert 'jobtide_worker_rescued_total{why="own_pod"} 0' in text
    assert 'jobtide_worker_rows_refused_total{during="claim"} 0' in text
    assert "jobtide_worker_ends_refused_total 0" in text


def test_a_worker_without_its_database_is_alive_but_not_ready(worker, wait_until):
    port = str(free_port())
    unreachable = f"postgresql://postgres:secret@127.0.0.1:{free_port()}/main"
    process = worker(JOBTIDE_HTTP_PORT=port, JOBTIDE_DATABASE_URL=unreachable)
    wait_until(lambda: process.logged("database unreachable"))
    assert fetch(port, "/livez") == 200
    assert fetch(port, "/readyz") == 503
    assert not process.logged("secret")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return None


def test_every_log_line_is_one_json_object_that_names_its_job(worker, enqueue, tenant, statuses, wait_until):
    id_ = enqueue("say", owner := tenant(), {"end": "fail"})
    process = worker(JOBTIDE_POOL="media/thumbs", JOBTIDE_POD_NAME="thumbs-1")
    wait_until(ended(statuses, 1))
    process.end(signal.SIGTERM)
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    (failed,) = [line for line in lines if line["message"] == "job failed"]
    assert (failed["job"], failed["type"], failed["tenant"], failed["attempt"]) == (str(id_), "say", str(owner), 1)
    assert (failed["pool"], failed["pod"], failed["level"]) == ("media/thumbs", "thumbs-1", "error")


@pytest.mark.parametrize(
    ("app", "environment", "reason"),
    [
        pytest.param("job:tide", {}, "there is no module 'job'", id="missing module"),
        pytest.param("jobs:tied", {}, "has no attribute 'tied'; it has tide", id="wrong attribute"),
        pytest.param("jobs:empty", {}, "has no handlers", id="no handlers"),
        pytest.param("jobs:tide", {"JOBTIDE_TYPES": '["x"]'}, "asks for 'x'", id="a type without a handler"),
        pytest.param("jobs:tide", {"JOBTIDE_CONCURRENCY": "no"}, "JOBTIDE_CONCURRENCY='no'", id="a wrong setting"),
    ],
)
def test_a_worker_that_cannot_start_fails_with_one_line(worker, app, environment, reason):
    process = worker(app, **environment)
    assert process.popen.wait(60) == 1
    lines = process.log.read_text().splitlines()
    assert len(lines) == 1
    assert reason in lines[0]


def test_the_error_of_a_worker_without_a_table_names_the_fix(worker, empty_database):
    process = worker(JOBTIDE_DATABASE_URL=empty_database)
    assert process.popen.wait(60) == 1
    assert "run jobtide schema apply" in process.log.read_text()


def test_a_worker_whose_role_cannot_see_rows_fails_with_the_reason(worker, database, connect):
    connect().execute("CREATE ROLE blind LOGIN")
    try:
        connect().execute("GRANT ALL ON job_queue TO blind; GRANT SELECT ON users TO blind")
        process = worker(JOBTIDE_DATABASE_URL=database.replace("postgres@", "blind@"))
        assert process.popen.wait(60) == 1
        assert "row level security stops role blind" in process.log.read_text()
    finally:
        connect().execute("DROP OWNED BY blind; DROP ROLE blind")


def test_the_command_prints_its_help_with_every_variable():
    help_text = subprocess.run(
        [sys.executable, "-m", "jobtide", "worker", "--help"], cwd=HANDLERS, capture_output=True, text=True, check=True
    ).stdout
    assert "JOBTIDE_LEASE_SECONDS" in help_text
