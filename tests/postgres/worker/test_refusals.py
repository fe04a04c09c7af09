"""A refusal by the server concerns its row: it stops no other job, and what can't be changed is left and reported."""

from __future__ import annotations

import json
import signal
from uuid import UUID

import pytest

from jobtide.context import Context
from jobtide.job import End
from jobtide.queue.caps import NO_CAPS, TenantCaps
from jobtide.queue.refusals import RowRefused
from jobtide.queue.ring import Ring
from jobtide.queue.session import DatabaseUnreachable, Session

RAISE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'refused by the application'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON job_queue FOR EACH ROW WHEN ({}) EXECUTE FUNCTION refuse()"""

# what the database's owner has added, the words in the error of the job that returns "bad"
ADDED = {
    "a check of the result's size": (
        "ALTER TABLE job_queue ADD CHECK (status <> 'completed' OR length(result::text) < 9000)",
        "violates check constraint",
    ),
    "a trigger that raises": (
        RAISE.format("NEW.status = 'completed' AND length(NEW.result::text) > 9000"),
        "refused by the application",
    ),
    "a foreign key of an audit trigger": (
        """CREATE TABLE sizes (size int PRIMARY KEY);
           INSERT INTO sizes SELECT generate_series(0, 9000);
           CREATE TABLE audit (size int REFERENCES sizes);
           CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               INSERT INTO audit VALUES (length(NEW.result::text)); RETURN NEW; END $$;
           CREATE TRIGGER audited AFTER UPDATE ON job_queue FOR EACH ROW
           WHEN (NEW.status = 'completed') EXECUTE FUNCTION audited()""",
        "violates foreign key constraint",
    ),
    "an index whose row is too long": (
        """ALTER TABLE job_queue ALTER result SET STORAGE EXTERNAL;
           CREATE INDEX ON job_queue ((result->>'value')) WHERE status = 'completed'""",
        "index row",
    ),
    "a deferred constraint": (
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               RAISE EXCEPTION 'refused at the commit'; END $$;
           CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON job_queue DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
           WHEN (NEW.status = 'completed' AND length(NEW.result::text) > 9000) EXECUTE FUNCTION refuse()""",
        "refused at the commit",
    ),
}


def messages(process):
    return [json.loads(line) for line in process.log.read_text().splitlines()]


def about(process, text, id_):
    return [line for line in messages(process) if text in line["message"] and line.get("job") == str(id_)]


@pytest.fixture
def done(statuses):
    def check(**expected):
        return lambda: statuses() == expected

    return check


@pytest.mark.parametrize(("added", "words"), ADDED.values(), ids=ADDED)
def test_an_end_that_the_server_refuses_fails_its_job_alone_and_at_its_first_attempt(
    worker, enqueue, tenant, connect, row, done, wait_until, added, words
):
    owner = tenant()
    bad = enqueue("echo", owner, {"value": incompressible()})
    good = [enqueue("echo", owner, number) for number in range(5)]
    connect().execute(added)
    worker(JOBTIDE_CONCURRENCY="6")
    wait_until(done(completed=5, failed=1))
    assert words in row(bad)["result"]["error"]["message"]
    assert {row(id_)["attempts"] for id_ in (bad, *good)} == {1}


def incompressible():
    return "".join(f"{number * 7919:x}" for number in range(2_000))


def test_an_end_that_breaks_a_unique_index_fails_its_job_alone(worker, enqueue, tenant, connect, row, done, wait_until):
    owner = tenant()
    twins = [enqueue("echo", owner, {"value": "same"}) for _ in range(2)]
    for number in range(5):
        enqueue("echo", owner, {"value": number})
    connect().execute("CREATE UNIQUE INDEX ON job_queue ((result->>'value')) WHERE status = 'completed'")
    worker(JOBTIDE_CONCURRENCY="7")
    wait_until(done(completed=6, failed=1))
    (failed,) = [row(id_) for id_ in twins if row(id_)["status"] == "failed"]
    assert "duplicate key" in failed["result"]["error"]["message"]


def test_an_end_that_can_neither_complete_nor_fail_is_left_reported_once_and_seldom_tried(
    worker, enqueue, tenant, connect, row, done, wait_until
):
    bad, owner = enqueue("echo", tenant(), "bad"), tenant()
    connection = connect()
    connection.execute(
        """CREATE SEQUENCE tries;
           CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               PERFORM nextval('tries'); RAISE EXCEPTION 'suspended'; END $$;
           CREATE TRIGGER refuse BEFORE UPDATE ON job_queue FOR EACH ROW
           WHEN (OLD.status = 'processing' AND OLD.payload = '"bad"') EXECUTE FUNCTION refuse()"""
    )
    process = worker(JOBTIDE_CONCURRENCY="2", JOBTIDE_LEASE_SECONDS="6")
    for number in range(50):
        enqueue("echo", owner, number)
    wait_until(done(completed=50, processing=1))
    wait_until(lambda: connection.execute("SELECT last_value FROM tries").fetchone()[0] >= 4)
    assert len(about(process, "the row is left", bad)) == 1
    for number in range(50):
        enqueue("echo", owner, number)
    wait_until(done(completed=100, processing=1))
    assert connection.execute("SELECT last_value FROM tries").fetchone()[0] < 30
    connection.execute("DROP TRIGGER refuse ON job_queue")
    wait_until(lambda: row(bad)["status"] in ("completed", "failed"))
    assert row(bad)["attempts"] == 1
    assert not process.logged("unreachable")


def test_a_trigger_that_is_broken_for_all_rows_fails_no_job_and_all_complete_once_it_is_mended(
    worker, enqueue, tenant, connect, done, wait_until
):
    """It comes while the worker runs: one that is there at the start keeps a worker from starting."""
    owner = tenant()
    process = worker(JOBTIDE_CONCURRENCY="30")
    enqueue("echo", owner, 0)
    wait_until(done(completed=1))
    connect().execute(
        """CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               INSERT INTO dropped VALUES (NEW.id); RETURN NEW; END $$;
           CREATE TRIGGER audited BEFORE UPDATE ON job_queue FOR EACH ROW
           WHEN (NEW.status = 'completed') EXECUTE FUNCTION audited()"""
    )
    for number in range(29):
        enqueue("echo", owner, number)
    wait_until(lambda: process.logged('relation \\"dropped\\" does not exist'))
    connect().execute("CREATE TABLE dropped (id uuid)")
    wait_until(done(completed=30))


def test_a_locked_row_delays_itself_alone(worker, enqueue, tenant, connect, row, wait_until, statuses, tmp_path):
    """Two workers, a lease that ends while the row is locked: every handler runs once, but for the locked job's."""
    owner, notes = tenant(), tmp_path / "notes"
    locked = enqueue("wait", owner, {"file": str(tmp_path / "go")})
    first = worker(JOBTIDE_LEASE_SECONDS="3")
    wait_until(lambda: row(locked)["status"] == "processing")
    other = connect(autocommit=False)
    other.execute("SELECT FROM job_queue WHERE id = %s FOR UPDATE", [locked])
    (tmp_path / "go").touch()
    second = worker(JOBTIDE_LEASE_SECONDS="3")
    for number in range(200):
        enqueue("note", owner, {"file": str(notes), "line": str(number)})
    wait_until(lambda: statuses() == {"completed": 200, "processing": 1})
    watching = connect()
    lapsed = "SELECT next_retry_at < now() FROM job_queue WHERE id = %s"
    wait_until(lambda: watching.execute(lapsed, [locked]).fetchone()[0])
    other.rollback()
    wait_until(lambda: row(locked)["status"] == "completed")
    assert sorted(notes.read_text().split()) == sorted(map(str, range(200)))
    for process in (first, second):
        assert not process.logged("held the interpreter")
        assert not process.logged("unreachable")


@pytest.mark.parametrize("lock_timeout", ["0", "10ms"])
def test_ends_of_a_batch_with_locked_rows_are_written_in_one_more_statement(
    queue, enqueue, tenant, connect, database, lock_timeout
):
    connect().execute(f"ALTER DATABASE {database.rpartition('/')[2]} SET lock_timeout = '{lock_timeout}'")
    for _ in range(5):
        enqueue("a", owner := tenant())
    one = queue()
    jobs = one.claim(Ring(("a",)), 5, 5).jobs
    assert owner
    other = connect(autocommit=False)
    other.execute("SELECT FROM job_queue WHERE id = ANY(%s) FOR NO KEY UPDATE", [[job.id for job in jobs[:2]]])
    ends = [End(job, "completed", "1") for job in jobs]
    with pytest.raises(RowRefused) as refused:
        one.finish(ends)
    assert refused.value.is_lock
    assert one.finish_unlocked(ends) == {job.id for job in jobs[2:]}
    assert one.held(jobs) == {job.id for job in jobs[:2]}
    assert one.extend([Context(job) for job in jobs[:2]]) == set()
    other.rollback()
    assert one.finish(ends) == {job.id for job in jobs[:2]}


# claims


def test_a_row_that_cannot_be_claimed_fails_alone(worker, enqueue, tenant, connect, row, done, wait_until):
    owner = tenant()
    connect().execute("ALTER TABLE job_queue ADD CHECK (attempts <= 3)")
    bad = enqueue("echo", owner, attempts=3)
    for number in range(5):
        enqueue("echo", owner, number)
        enqueue("echo", tenant(), number)
    worker(JOBTIDE_CONCURRENCY="4")
    wait_until(done(completed=10, failed=1))
    assert "violates check constraint" in row(bad)["result"]["error"]["message"]
    assert row(bad)["attempts"] == 3


@pytest.mark.parametrize("caps", [{}, {"JOBTIDE_TENANT_MAX_CONCURRENT": "2"}], ids=["plain", "under tenant caps"])
@pytest.mark.parametrize("deferred", [False, True], ids=["at once", "at the commit"])
def test_a_tenant_whose_rows_cannot_be_changed_stops_no_other(
    worker, enqueue, tenant, connect, done, wait_until, caps, deferred
):
    suspended, others = tenant(), [tenant() for _ in range(5)]
    kind = "CONSTRAINT TRIGGER refuse AFTER UPDATE" if deferred else "TRIGGER refuse BEFORE UPDATE"
    when = "DEFERRABLE INITIALLY DEFERRED" if deferred else ""
    connect().execute(
        f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                RAISE EXCEPTION 'suspended'; END $$;
            CREATE {kind} ON job_queue {when} FOR EACH ROW
            WHEN (OLD.tenant_id = '{suspended}') EXECUTE FUNCTION refuse()"""
    )
    held = [enqueue("echo", suspended, number) for number in range(30)]
    for number in range(100):
        enqueue("echo", others[number % 5], number)
    process = worker(JOBTIDE_CONCURRENCY="4", **caps)
    wait_until(done(completed=100, pending=30))
    assert not process.logged("unreachable")
    left = [line["job"] for line in messages(process) if "the row is left" in line["message"]]
    assert left
    assert len(left) == len(set(left))
    assert {UUID(id_) for id_ in left} <= set(held)


def test_no_job_fails_if_the_table_refuses_every_claim(queue, enqueue, tenant, connect, statuses):
    for number in range(20):
        enqueue("a", tenant(), number)
    connect().execute(RAISE.format("NEW.status = 'processing'"))
    one = queue()
    claim = one.claim(Ring(("a",)), 5, 5)
    assert (claim.jobs, len(claim.refused)) == ([], 5)
    assert statuses() == {"pending": 20}
    connect().execute("DROP TRIGGER refuse ON job_queue")
    assert len(one.claim(Ring(("a",)), 50, 50).jobs) == 15


def test_failed_claims_leave_no_other_row_of_their_key_out(queue, enqueue, tenant, connect, statuses):
    owner = tenant()
    for number in range(40):
        enqueue("a", owner, {"bad": number < 12})
    connect().execute("ALTER TABLE job_queue ADD CHECK (status <> 'processing' OR payload->>'bad' = 'false')")
    one = queue()
    for _ in range(3):
        one.claim(Ring(("a",)), 16, 16)
    assert statuses() == {"failed": 12, "processing": 28}


@pytest.mark.parametrize("caps", [NO_CAPS, TenantCaps(10)], ids=["plain", "under tenant caps"])
def test_more_refused_rows_than_a_worker_leaves_out_stop_no_tenant(queue, enqueue, tenant, connect, statuses, caps):
    *suspended, other = sorted(tenant() for _ in range(26))
    for owner in suspended:
        for number in range(10):
            enqueue("a", owner, number)
    job = enqueue("a", other)
    connect().execute(RAISE.format(f"OLD.tenant_id <> '{other}'"))
    one, ring, claimed = queue(caps=caps), Ring(("a",)), []
    for _ in range(30):
        claim = one.claim(ring, 1, 1)
        ring = claim.ring
        claimed += claim.jobs
    assert [one.id for one in claimed] == [job]
    assert statuses() == {"pending": 250, "processing": 1}


def test_a_careful_claim_keeps_the_order_of_the_ring(queue, enqueue, tenant, connect):
    tenants = sorted(tenant() for _ in range(4))
    rows = {owner: [enqueue("a", owner, number) for number in range(3)] for owner in tenants}
    connect().execute(RAISE.format(f"OLD.id = '{rows[tenants[1]][0]}'"))
    claim = queue().claim(Ring(("a",)), 8, 2)
    assert [job.id for job in claim.jobs] == [
        *rows[tenants[0]][:2], rows[tenants[1]][1], *rows[tenants[2]][:2], *rows[tenants[3]][:2],
    ]  # fmt: skip
    assert [row.id for row in claim.refused] == [rows[tenants[1]][0]]


def test_rescues_and_extensions_leave_the_row_that_the_server_refuses(queue, enqueue, tenant, connect, expire):
    for number in range(5):
        enqueue("a", tenant(), number)
    one = queue()
    jobs = one.claim(Ring(("a",)), 5, 5).jobs
    connect().execute(RAISE.format(f"OLD.id = '{jobs[0].id}' AND NEW.worker_id IS NOT NULL AND current_user <> 'x'"))
    assert one.extend_own_pod() == {job.id for job in jobs[1:]}
    connect().execute("ALTER TABLE job_queue DISABLE TRIGGER refuse")
    for job in jobs[:3]:
        expire(job)
    connect().execute("ALTER TABLE job_queue ENABLE TRIGGER refuse")
    assert {rescued.id for rescued in one.rescue_expired(10)} == {jobs[1].id, jobs[2].id}
    assert {rescued.id for rescued in one.rescue_own_pod()} == {jobs[3].id, jobs[4].id}


EXPIRED = """
    INSERT INTO job_queue (tenant_id, type, status, worker_id, attempts, next_retry_at)
    SELECT %s, 'a', 'processing', 'jobtide:x:1', 1, now() - %s * interval '1 second' FROM generate_series(1, %s)"""


def test_expired_claims_of_one_tenant_do_not_hold_up_the_rescue_of_others(queue, tenant, connect):
    forger, other = tenant(), tenant()
    connect().execute(EXPIRED, [forger, 3_600, 300])
    connect().execute(EXPIRED, [other, 1, 20])
    rescued = queue().rescue_expired(100)
    assert len(rescued) == 100
    assert sum(job.tenant_id == other for job in rescued) == 20


def test_any_number_of_refused_rescues_of_one_tenant_hides_no_other_tenants_jobs(queue, tenant, connect, statuses):
    suspended, other = tenant(), tenant()
    connect().execute(EXPIRED, [suspended, 3_600, 1_200])
    connect().execute(EXPIRED, [other, 1, 20])
    connect().execute(RAISE.format(f"OLD.tenant_id = '{suspended}'"))
    assert {job.tenant_id for job in queue().rescue_expired(100)} == {other}
    assert statuses() == {"processing": 1_200, "pending": 20}


def test_progress_that_the_server_refuses_costs_no_lease(worker, enqueue, tenant, connect, row, wait_until, tmp_path):
    jobs = [enqueue("wait", tenant(), {"file": str(tmp_path / "go")}) for _ in range(2)]
    connect().execute("ALTER TABLE job_queue ADD CHECK (NOT (status = 'processing' AND result ? 'progress'))")
    process = worker(JOBTIDE_LEASE_SECONDS="2")
    wait_until(lambda: {row(id_)["status"] for id_ in jobs} == {"processing"})
    leases = [row(id_)["next_retry_at"] for id_ in jobs]
    wait_until(
        lambda: all(
            (row(id_)["next_retry_at"] - lease).total_seconds() > 2 for id_, lease in zip(jobs, leases, strict=True)
        )
    )
    (tmp_path / "go").touch()
    wait_until(lambda: {row(id_)["status"] for id_ in jobs} == {"completed"})
    assert process.end(signal.SIGTERM) == 0
    assert {row(id_)["attempts"] for id_ in jobs} == {1}


def test_what_is_an_outage_and_what_concerns_rows(database):
    session = Session(lambda: database)
    assert session.execute("SELECT 1 AS one", {}) == [{"one": 1}]
    for statement in ("SELECT 1 FROM no_such_table", "SELECT no_such_function()", "SELECT now() + now()"):
        with pytest.raises(DatabaseUnreachable):
            session.execute(statement, {})
    for statement in ("SELECT 1 / 0", "SELECT 'x'::int", "SELECT pg_cancel_backend(pg_backend_pid())"):
        with pytest.raises(RowRefused):
            session.execute(statement, {})
    with pytest.raises(DatabaseUnreachable):
        session.execute("SELECT pg_terminate_backend(pg_backend_pid())", {})
    session.close()


def test_a_table_that_is_locked_as_a_whole_refuses_no_row(
    worker, enqueue, tenant, connect, row, statuses, wait_until, tmp_path
):
    jobs = [enqueue("wait", tenant(), {"file": str(tmp_path / "go")}) for _ in range(3)]
    process = worker(JOBTIDE_LEASE_SECONDS="9")
    wait_until(lambda: {row(id_)["status"] for id_ in jobs} == {"processing"})
    other = connect(autocommit=False)
    other.execute("LOCK TABLE job_queue IN SHARE MODE")
    (tmp_path / "go").touch()
    wait_until(lambda: process.logged("the server has not answered a statement for 3 s"))
    other.rollback()
    wait_until(lambda: statuses() == {"completed": 3})
    assert {row(id_)["attempts"] for id_ in jobs} == {1}
    assert not process.logged("refuses")
