"""The operator's changes: exactly the jobs of the filter, in batches, stoppable and repeatable without harm."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from jobtide.operate import change as module
from jobtide.operate import select
from jobtide.operate.change import Change, TooMany, preview
from jobtide.operate.filters import FilterRefused, JobFilter
from jobtide.operate.session import TooSlow, operator_connection

NOW = datetime.now(UTC)
FAILED = {"status": "failed", "attempts": 5, "completed_at": NOW - timedelta(minutes=5), "worker_id": "jobtide:p:1"}
BOOM = '{"error": {"type": "Boom", "message": "full"}, "suspect": 2}'


@pytest.fixture
def operator(as_operator):
    with operator_connection(as_operator) as connection:
        yield connection


@pytest.fixture
def as_operator(database, connect):
    """The URL with the rights of jobtide_operator alone."""
    connect().execute(
        "DO $$ BEGIN CREATE ROLE change_operator LOGIN IN ROLE jobtide_operator; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
    return database.replace("postgres@", "change_operator@", 1)


@pytest.fixture
def run(operator):
    """run("retry", type="t", ...): the last progress."""

    def all_of_it(verb, **which):
        *_, last = Change(operator, verb, JobFilter(**which), by="alice", pause_seconds=0)
        return last

    return all_of_it


@pytest.fixture
def many(connect, tenant):
    """many("t", 1200, status="failed"): jobs of a tenant, one second apart, or all at one time."""
    connection = connect()

    def add(type_, count, owner=None, status="failed", step_seconds=1.0, ended=True):
        owner = owner or tenant()
        connection.execute(
            """INSERT INTO job_queue (tenant_id, type, status, attempts, created_at, completed_at, result)
               SELECT %s, %s, %s::job_status, 3, now() - interval '1 day' - n * %s * interval '1 second',
                 CASE WHEN %s THEN now() - interval '1 hour' END, %s
               FROM generate_series(1, %s) AS n""",
            [owner, type_, status, step_seconds, ended, BOOM, count],
        )
        return owner

    return add


@pytest.fixture
def count(connect):
    """count("type = 't'"): how many rows."""
    connection = connect()
    return lambda condition: connection.execute(f"SELECT count(*) FROM job_queue WHERE {condition}").fetchone()[0]


def test_a_retried_job_waits_from_now_with_all_attempts_and_its_last_error(run, enqueue, tenant, row):
    id_ = enqueue("t", tenant(), created_at=NOW - timedelta(days=3), result=BOOM, **FAILED)
    assert run("retry", id=id_).changed == 1
    job = row(id_)
    assert (job["status"], job["attempts"], job["completed_at"]) == ("pending", 0, None)
    assert job["next_retry_at"] >= NOW
    assert job["result"]["error"]["type"] == "Boom"
    assert job["result"]["suspect"] == 2


def test_a_cancelled_job_has_failed_with_who_did_it_and_keeps_the_mark_of_a_suspect(run, enqueue, tenant, row):
    id_ = enqueue("t", tenant(), result=BOOM, attempts=1, next_retry_at=NOW + timedelta(hours=1))
    assert run("cancel", id=id_).changed == 1
    job = row(id_)
    assert (job["status"], job["next_retry_at"], job["attempts"]) == ("failed", None, 1)
    assert job["completed_at"] is not None
    assert (job["result"]["error"]["type"], job["result"]["error"]["by"], job["result"]["suspect"]) == (
        "Cancelled", "alice", 2,
    )  # fmt: skip


@pytest.mark.parametrize("due", [NOW + timedelta(days=3), "infinity"], ids=["in three days", "never"])
def test_run_now_makes_a_job_due_and_leaves_the_rest_of_it(run, enqueue, tenant, row, due):
    id_ = enqueue("t", tenant(), result=BOOM, attempts=2, next_retry_at=due)
    assert run("run-now", id=id_).changed == 1
    job = row(id_)
    assert NOW <= job["next_retry_at"] <= datetime.now(UTC)
    assert (job["status"], job["attempts"], job["result"]) == ("pending", 2, json.loads(BOOM))
    assert run("run-now", id=id_).changed == 0


def test_purge_deletes_ended_jobs_alone(run, many, count):
    for status in ("completed", "failed"):
        many("t", 3, status=status)
    for status in ("pending", "processing"):
        many("t", 3, status=status, ended=False)
    assert run("purge", until=NOW).changed == 6
    assert count("true") == 6
    assert run("purge", until=NOW).changed == 0


@pytest.mark.parametrize("small", [1, select.SMALL], ids=["by the walk", "looked through at once"])
@pytest.mark.parametrize("look", [7, 1_000], ids=["many windows", "one window"])
def test_every_job_of_the_filter_is_changed_once_and_no_other(run, many, count, monkeypatch, small, look):
    """A whole second of jobs with one time of creation, in windows that are smaller than that."""
    monkeypatch.setattr(select, "SMALL", small)
    monkeypatch.setattr(select, "LOOK", look)
    monkeypatch.setattr(module, "BATCH", 50)
    owner = many("t", 120, step_seconds=0)
    many("t", 90)
    many("other", 40, owner, step_seconds=0)
    assert run("retry", type="t", tenant=owner).changed == 120
    assert count("status = 'pending' AND type = 't'") == 120
    assert run("retry", type="t").changed == 90
    assert count("status = 'failed'") == 40


def test_a_cancel_of_one_tenant_and_type_never_takes_another_tenants_jobs(run, many, count, monkeypatch):
    """The tenant has too many jobs to look through, and few of the type wait."""
    monkeypatch.setattr(select, "SMALL", 20)
    mine = many("t", 5, status="pending", ended=False)
    many("other", 30, mine)
    many("t", 5, status="pending", ended=False)
    assert run("cancel", type="t", tenant=mine).changed == 5
    assert count("status = 'pending'") == 5


def test_a_job_that_moved_to_another_type_since_it_was_found_is_left(operator, many, count, connect, monkeypatch):
    many("t", 3, status="pending", ended=False)
    changes = connect()
    found = select.walks

    def moving(*arguments, **options):
        for each in found(*arguments, **options):
            changes.execute("UPDATE job_queue SET type = 'u' WHERE id IN (SELECT id FROM job_queue LIMIT 1)")
            yield each

    monkeypatch.setattr(module, "walks", moving)
    run = Change(operator, "cancel", JobFilter(type="t"), by="alice")
    list(run)
    assert (run.action().changed, run.action().skipped) == (2, 1)
    assert count("type = 'u' AND status = 'pending'") == 1


def test_progress_is_reported_for_each_batch_and_only_the_last_one_is_done(operator, many):
    many("t", 1_200)
    progress = list(Change(operator, "retry", JobFilter(type="t"), by="alice", pause_seconds=0))
    assert [one.changed for one in progress if one.changed] == [500, 1_000, 1_200]
    assert [one.is_done for one in progress] == [False] * (len(progress) - 1) + [True]


def test_a_stopped_run_keeps_what_it_did_and_a_second_one_does_the_rest(operator, many, count):
    many("t", 1_200)
    first = Change(operator, "cancel", JobFilter(type="t", status="pending"), by="alice")
    many("t", 1_200, status="pending", ended=False)
    for _ in first:
        first.stop()
    assert first.action().to_json() == {
        "action": "cancel", "by": "alice", "database_user": "change_operator",
        "filter": {"type": "t", "status": "pending"}, "changed": 500, "skipped": 0, "refusal": None, "is_done": False,
    }  # fmt: skip
    assert count("status = 'pending'") == 700
    second = Change(operator, "cancel", JobFilter(type="t"), by="alice", pause_seconds=0)
    list(second)
    assert (second.action().changed, second.action().is_done) == (700, True)


def test_jobs_that_fail_again_or_arrive_while_it_runs_are_not_its_own(operator, many, count, connect, tenant):
    owner = many("t", 600)
    changes = connect()
    run = Change(operator, "retry", JobFilter(type="t"), by="alice", pause_seconds=0)
    for _ in run:
        changes.execute("UPDATE job_queue SET status = 'failed', completed_at = now() WHERE status = 'pending'")
        many("t", 10, owner, ended=False, step_seconds=-1e6)
        changes.execute("UPDATE job_queue SET completed_at = now() WHERE completed_at IS NULL")
    assert run.action().changed == 600


def test_a_locked_job_is_skipped_and_the_others_are_not_held_up(operator, many, connect, count):
    many("t", 700)
    other = connect(autocommit=False)
    other.execute("SELECT FROM job_queue ORDER BY created_at DESC LIMIT 3 FOR UPDATE")
    run = Change(operator, "retry", JobFilter(type="t"), by="alice", pause_seconds=0)
    list(run)
    assert (run.action().changed, run.action().skipped, run.action().is_done) == (697, 3, True)
    other.rollback()
    assert count("status = 'failed'") == 3


def test_two_runs_at_once_change_each_job_once(as_operator, many, count):
    many("t", 1_500)
    with operator_connection(as_operator) as one, operator_connection(as_operator) as two:
        runs = [Change(connection, "retry", JobFilter(type="t"), by=name, pause_seconds=0)
                for name, connection in (("a", one), ("b", two))]  # fmt: skip
        steps = [iter(run) for run in runs]
        while steps:
            steps = [step for step in steps if next(step, None) is not None]
    assert sum(run.action().changed for run in runs) == 1_500
    assert count("status = 'pending'") == 1_500


def test_a_locked_job_is_left_by_a_purge_too(operator, many, connect, count):
    many("t", 100, status="completed")
    connect(autocommit=False).execute("SELECT FROM job_queue ORDER BY created_at LIMIT 2 FOR UPDATE")
    run = Change(operator, "purge", JobFilter(type="t", until=NOW), by="alice", pause_seconds=0)
    list(run)
    assert (run.action().changed, run.action().skipped, run.action().is_done) == (98, 2, True)
    assert "holds a lock" in run.action().refusal
    assert count("true") == 2


@pytest.mark.parametrize("verb", ["purge", "retry"])
def test_a_run_on_a_locked_table_ends_with_what_was_done(operator, many, connect, verb, monkeypatch):
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.01)
    many("t", 100)
    connect(autocommit=False).execute("LOCK TABLE job_queue IN SHARE MODE")
    run = Change(operator, verb, JobFilter(type="t", until=NOW), by="alice", seconds=0.5)
    with pytest.raises(TooSlow, match="holds a lock" if verb == "purge" else "no answer"):
        list(run)
    assert (run.action().changed, run.action().is_done) == (0, False)


def test_a_preview_counts_and_shows_ten_and_changes_nothing(operator, many, count):
    owner = many("t", 30)
    shown = preview(operator, "retry", JobFilter(type="t"))
    assert (shown.number, shown.is_at_least, len(shown.examples)) == (30, False, 10)
    assert {job.type for job in shown.examples} == {"t"}
    capped = preview(operator, "retry", JobFilter(type="t"), most=20)
    assert (capped.number, capped.is_at_least) == (20, True)
    assert preview(operator, "retry", JobFilter(tenant=owner)).number == 30
    assert preview(operator, "cancel", JobFilter(type="t")).number == 0
    id_ = UUID(shown.examples[0].id)
    assert preview(operator, "retry", JobFilter(id=id_)).number == 1
    assert preview(operator, "cancel", JobFilter(id=id_)).number == 0
    list(Change(operator, "retry", JobFilter(id=id_), by="alice"))
    list(Change(operator, "cancel", JobFilter(id=id_, status="processing"), by="alice"))
    assert count("status = 'pending'") == 1
    assert count("status = 'failed'") == 29


def test_a_preview_of_equal_times_counts_each_job_once(operator, many, monkeypatch):
    monkeypatch.setattr(select, "LOOK", 10)
    many("t", 100, step_seconds=0)
    many("t", 3)
    assert preview(operator, "retry", JobFilter(type="t")).number == 103


def test_a_preview_that_looked_long_enough_says_that_there_may_be_more(operator, many, monkeypatch):
    monkeypatch.setattr(module, "PREVIEW_SECONDS", 0)
    monkeypatch.setattr(select, "LOOK", 10)
    many("t", 100)
    shown = preview(operator, "retry", JobFilter(type="t"))
    assert (shown.number, shown.is_at_least) == (10, True)


@pytest.mark.parametrize("run", [preview, lambda *arguments: Change(*arguments, by="alice")], ids=["preview", "run"])
def test_a_change_without_a_condition_is_refused_before_the_database_is_asked(operator, run):
    with pytest.raises(FilterRefused, match="would change every job"):
        run(operator, "cancel", JobFilter())


def test_a_job_that_a_trigger_refuses_stops_no_other(operator, many, connect, count):
    """A refusal concerns a row: the batch is halved until that row is alone."""
    many("t", 100)
    connect().execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE 'not this one'; END $$;
           UPDATE job_queue SET attempts = 7 WHERE id IN (SELECT id FROM job_queue ORDER BY id LIMIT 2);
           CREATE TRIGGER refuse BEFORE UPDATE ON job_queue FOR EACH ROW WHEN (OLD.attempts = 7)
           EXECUTE FUNCTION refuse();"""
    )
    run = Change(operator, "retry", JobFilter(type="t"), by="alice", pause_seconds=0)
    list(run)
    action = run.action()
    assert (action.changed, action.skipped, action.refusal, action.is_done) == (98, 2, "not this one", True)
    assert count("status = 'failed'") == 2


def test_a_pending_job_with_a_time_of_an_end_stops_no_other(run, many, count, connect):
    """Another consumer gave it back, and left completed_at as it was."""
    many("t", 3, status="pending", ended=False)
    connect().execute(
        "UPDATE job_queue SET next_retry_at = 'infinity', completed_at = CASE WHEN ctid = '(0,1)' THEN now() END"
    )
    assert run("run-now", type="t").changed == 3
    assert count("completed_at IS NULL AND next_retry_at <= now()") == 3


def test_a_forged_mark_of_a_suspect_stops_no_cancel(run, many, enqueue, tenant, count):
    numbers = f"[{','.join(['1e131071'] * 9_000)}]"
    enqueue("t", tenant(), result=f'{{"suspect": {numbers}}}')
    many("t", 3, status="pending", ended=False)
    assert run("cancel", type="t").changed == 4
    assert count("""result -> 'suspect' = '2'""") == 3


@pytest.mark.parametrize(
    ("verb", "columns"),
    [
        ("cancel", {"status": "processing", "worker_id": "theirs"}),
        ("cancel", {"status": "processing"}),
        ("run-now", {"status": "pending"}),
        ("retry", {"status": "failed", "completed_at": NOW + timedelta(days=1)}),
    ],
    ids=["another consumer runs it", "it runs without a claim", "it is due already", "its end is in the future"],
)
@pytest.mark.parametrize("field", ["id", "type", "tenant"])
def test_a_preview_and_a_run_leave_out_what_the_verb_never_changes(operator, enqueue, tenant, verb, columns, field):
    """A run that counts them as skipped asks for a repetition, which never helps."""
    owner = tenant()
    id_ = enqueue("t", owner, **columns)
    which = JobFilter(**{field: {"id": id_, "type": "t", "tenant": owner}[field]})
    assert preview(operator, verb, which).number == 0
    run = Change(operator, verb, which, by="alice")
    list(run)
    assert (run.action().changed, run.action().skipped) == (0, 0)


def test_a_run_never_changes_more_jobs_than_its_caller_allows(operator, many, enqueue, tenant, count):
    """Others may match since the preview."""
    many("t", 2)
    run = Change(operator, "retry", JobFilter(type="t"), by="alice", at_most=1)
    with pytest.raises(TooMany, match="more jobs match now"):
        list(run)
    assert count("status = 'pending'") == 0
    id_ = enqueue("u", tenant(), **FAILED)
    assert [one.changed for one in Change(operator, "retry", JobFilter(id=id_), by="alice", at_most=1)] == [1]
