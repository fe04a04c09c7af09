from __future__ import annotations

import threading
import uuid

import psycopg
import pytest

from jobtide_controller.decide.reading import is_pod_uid
from jobtide_controller.postgres.rescue import rescue

GONE = "11111111-2222-3333-4444-555555555555"
ALIVE = "99999999-2222-3333-4444-555555555555"


@pytest.fixture
def row(app):
    def one(job: uuid.UUID) -> dict:
        names = ("status", "worker_id", "attempts", "next_retry_at", "result")
        values = app.execute(f"SELECT {', '.join(names)} FROM job_queue WHERE id = %s", [job]).fetchone()
        return dict(zip(names, values, strict=True))

    return one


def held(insert, uid=GONE, **more):
    return insert(
        "a",
        status="processing",
        worker_id=f"jobtide:{uid}:{uuid.uuid4().hex}",
        attempts=2,
        retry_in_seconds=600,
        **more,
    )


def test_the_jobs_of_an_evicted_pod_are_requeued_at_once_without_counting_the_attempt(reader, insert, row):
    job = held(insert, result='{"progress": 3}')
    assert rescue(reader.session, {GONE: True}) == {GONE: 1}
    after = row(job)
    assert (after["status"], after["attempts"], after["next_retry_at"]) == ("pending", 1, None)
    assert after["result"] == {"progress": 3}
    assert after["worker_id"].startswith(f"jobtide:{GONE}:"), "the last claim stays readable"


@pytest.mark.parametrize(
    ("before", "attempts", "suspicion"),
    [
        pytest.param("{}", 1, 1, id="the first crash: not counted"),
        pytest.param('{"suspect": 1}', 1, 2, id="the second: not counted"),
        pytest.param('{"suspect": 2}', 1, 2, id="while it waited to run alone: not counted"),
        pytest.param('{"suspect": 3}', 2, 2, id="alone: counted"),
        pytest.param('"text"', 1, 1, id="a result that is no object"),
    ],
)
def test_the_jobs_of_a_crashed_pod_are_requeued_as_suspects_with_the_reason(
    reader, insert, row, before, attempts, suspicion
):
    job = held(insert, result=before)
    rescue(reader.session, {GONE: False})
    after = row(job)
    assert (after["status"], after["attempts"]) == ("pending", attempts)
    assert after["result"]["error"]["type"] == "WorkerLost"
    assert (after["result"]["error"]["attempt"], after["result"]["suspect"]) == (2, suspicion)


def test_whether_the_attempt_counts_depends_on_each_pods_own_cause(reader, insert, row):
    evicted, crashed = held(insert, result='{"suspect": 3}'), held(insert, uid=ALIVE, result='{"suspect": 3}')
    assert rescue(reader.session, {GONE: True, ALIVE: False}) == {GONE: 1, ALIVE: 1}
    assert (row(evicted)["attempts"], row(crashed)["attempts"]) == (1, 2)
    assert row(evicted)["result"] == {"suspect": 2}


def test_rows_of_other_holders_are_not_touched(reader, insert, row):
    others = [
        held(insert, uid=ALIVE),
        insert("a", status="processing", worker_id=GONE),
        insert("a", status="processing", worker_id=f"other:{GONE}:1"),
        insert("a", status="processing", worker_id=f"xjobtide:{GONE}:1"),
        insert("a", status="processing"),
        insert("a", status="completed", worker_id=f"jobtide:{GONE}:1"),
        insert("a", status="pending", worker_id=f"jobtide:{GONE}:1"),
    ]
    before = [row(job) for job in others]
    assert rescue(reader.session, {GONE: True}) == {}
    assert [row(job) for job in others] == before


def test_jobs_of_a_worker_outside_kubernetes_are_never_rescued(reader, insert, row):
    job = insert("a", status="processing", worker_id="jobtide:local-12ab:1")
    assert rescue(reader.session, {"local-12ab": True}) == {}
    assert row(job)["status"] == "processing"


def test_attempts_never_go_below_zero(reader, insert, row):
    job = insert("a", status="processing", worker_id=f"jobtide:{GONE}:1")
    rescue(reader.session, {GONE: True})
    assert row(job)["attempts"] == 0


def test_a_row_that_a_worker_is_finishing_is_skipped(reader, insert, row, connect):
    ending, orphan = held(insert), held(insert)
    worker = connect(autocommit=False)
    worker.execute("UPDATE job_queue SET status = 'completed' WHERE id = %s", [ending])
    assert rescue(reader.session, {GONE: True}) == {GONE: 1}, "the locked row is skipped, not waited for"
    worker.commit()
    assert (row(ending)["status"], row(orphan)["status"]) == ("completed", "pending")


def test_two_rescues_at_once_requeue_each_job_once(new_reader, database, insert, row):
    jobs = [held(insert) for _ in range(200)]
    readers = [new_reader(database), new_reader(database)]
    start, counts = threading.Barrier(2), []

    def run(reader) -> None:
        reader.session.connect()
        start.wait(10)
        counts.append(rescue(reader.session, {GONE: True}).get(GONE, 0))

    threads = [threading.Thread(target=run, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(counts) == 200
    assert {row(job)["attempts"] for job in jobs} == {1}


def test_the_controllers_own_role_may_rescue(new_reader, database, app, insert, row):
    name = f"rescuer_{uuid.uuid4().hex}"
    app.execute(f"CREATE ROLE {name} LOGIN IN ROLE jobtide_controller")
    job = held(insert)
    assert rescue(new_reader(database.replace("postgres@", f"{name}@")).session, {GONE: False}) == {GONE: 1}
    assert row(job)["status"] == "pending"


@pytest.mark.parametrize(
    ("holder", "pod"),
    [(GONE, True), (GONE.upper(), True), ("local-12ab", False), ("", False), (f"{GONE}0", False), ("pod-name", False)],
)
def test_only_a_uuid_is_a_pod_uid(holder, pod):
    assert is_pod_uid(holder) is pod


def test_a_row_that_the_server_refuses_holds_up_no_other_tenants_rescue(reader, insert, row, app):
    refused, other = held(insert, uid=GONE), held(insert, uid=ALIVE)
    tenant = app.execute("INSERT INTO tenants DEFAULT VALUES RETURNING id").fetchone()[0]
    app.execute("UPDATE job_queue SET tenant_id = %s WHERE id = %s", [tenant, refused])
    app.execute(f"ALTER TABLE job_queue ADD CHECK (tenant_id <> '{tenant}' OR status <> 'pending')")
    gone = {GONE: False, ALIVE: True}
    assert rescue(reader.session, gone) == {ALIVE: 1}
    assert (row(refused)["status"], row(other)["status"]) == ("processing", "pending")
    with pytest.raises(psycopg.errors.CheckViolation):  # what is left is reported
        rescue(reader.session, gone)
