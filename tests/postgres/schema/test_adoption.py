"""A table that another application made: what check finds beyond its columns, and advice that leads on."""

from __future__ import annotations

import re
from uuid import uuid4

import psycopg
import pytest

from jobtide.__main__ import main
from jobtide.job import End
from jobtide.queue.job_queue import PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.queue.session import Session
from jobtide.queue.trial import try_out
from jobtide.schema import ProblemKind, SchemaError, apply, check


@pytest.fixture
def trial():
    """trial(url): the problems that a trial finds, over a session as a worker's."""
    opened = []

    def run(url: str):
        opened.append(Session(lambda: url))
        return try_out(opened[-1].connection())

    yield run
    for session in opened:
        session.close()


@pytest.fixture
def works(connect):
    """works(url): inserts a job, claims it and ends it with a worker's statements; whether the end was written."""

    def run(url: str, tenant_id=None) -> bool:
        with connect() as admin:
            owner = tenant_id or admin.execute("INSERT INTO tenants DEFAULT VALUES RETURNING id").fetchone()[0]
        session = Session(lambda: url)
        try:
            session.connection().execute(
                "INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, 't', '{}')", [owner]
            )
            queue = PostgresJobQueue(session, pod_uid="pod", lease_seconds=60)
            (job,) = queue.claim(Ring(("t",)), 1, 1).jobs
            return queue.finish([End(job, "completed", "{}")]) == {job.id}
        finally:
            session.close()

    return run


def statements(message: str) -> list[str]:
    """The SQL of an advice, in its order."""
    return re.findall(r"(?:ALTER|GRANT|CREATE|DROP|INSERT) [^;]+;", message)


def fatal(problems):
    return [problem for problem in problems if problem.fatal]


# the enum


@pytest.mark.parametrize(
    ("ddl", "words"),
    [
        pytest.param(
            "ALTER TYPE job_status RENAME TO app_status", "has the name app_status, and the statements", id="renamed"
        ),
        pytest.param(
            "ALTER TYPE job_status RENAME TO \"Job Status\"; CREATE TYPE job_status AS ENUM ('a')",
            "statements write job_status, which is public.job_status here",
            id="renamed, and another one has its name",
        ),
        pytest.param(
            "CREATE SCHEMA types; GRANT USAGE ON SCHEMA types TO PUBLIC; ALTER TYPE job_status SET SCHEMA types",
            "is types.job_status, and search_path .* does not find it",
            id="outside the search path",
        ),
        pytest.param(
            "CREATE SCHEMA types; ALTER TYPE job_status SET SCHEMA types",
            "lacks USAGE on schema types",
            id="in a schema that is closed to the role",
        ),
        pytest.param(
            "CREATE SCHEMA types; GRANT USAGE ON SCHEMA types TO PUBLIC; ALTER TYPE job_status SET SCHEMA types;"
            "CREATE DOMAIN job_status AS text",
            "finds public.job_status first",
            id="hidden by another type",
        ),
    ],
)
def test_an_enum_that_the_statements_would_not_find_is_fatal_and_the_advice_repairs_it(
    database, connect, as_role, works, tenant, ddl, words
):
    owner = tenant()
    admin, url = connect(), as_role(database, "IN ROLE jobtide_worker")
    admin.execute(ddl)
    for _ in range(2):  # one advice may lead to the next: the schema's USAGE, then the search path
        problems = fatal(check(connect(url)))
        if not problems:
            break
        (problem,) = problems
        assert problem.kind is ProblemKind.ENUM_MISMATCH
        words, found = "job_status", re.search(words, problem.message)
        assert found, problem.message
        if problem.message.startswith("the enum of public.job_queue.status has the name"):
            admin.execute("DROP TYPE IF EXISTS public.job_status")
        admin.execute(statements(problem.message)[0])
    assert fatal(check(connect(url))) == []
    assert works(url, owner)


def test_without_the_enum_of_that_name_no_end_could_be_written(database, connect, works):
    connect().execute("ALTER TYPE job_status RENAME TO app_status")
    with pytest.raises(Exception, match='type "job_status" does not exist'):
        works(database)


def test_apply_refuses_a_table_whose_enum_has_another_name(database, connect, catalogs_of):
    connect().execute("ALTER TYPE job_status RENAME TO app_status; DROP INDEX idx_job_queue_due")
    before = catalogs_of(database)
    with pytest.raises(SchemaError, match=r"ALTER TYPE public\.app_status RENAME TO job_status"):
        apply(database)
    assert catalogs_of(database) == before


# columns


@pytest.mark.parametrize(
    ("ddl", "words"),
    [
        pytest.param("ALTER COLUMN completed_at SET NOT NULL", "completed_at is NOT NULL", id="completed_at"),
        pytest.param("ALTER COLUMN next_retry_at SET NOT NULL", "next_retry_at is NOT NULL", id="next_retry_at"),
        pytest.param(
            "DROP completed_at CASCADE, ADD completed_at timestamptz GENERATED ALWAYS AS (created_at) STORED",
            "completed_at is generated",
            id="generated",
        ),
    ],
)
def test_a_column_that_refuses_every_end_is_fatal_and_the_advice_repairs_it(database, connect, works, ddl, words):
    conn = connect()
    conn.execute(f"ALTER TABLE job_queue {ddl}")
    (problem,) = fatal(check(conn))
    assert words in problem.message
    for statement in statements(problem.message):
        conn.execute(statement)
    assert check(conn) == ()
    assert works(database)


def test_a_column_that_plain_inserts_do_not_name_is_a_warning(connect):
    conn = connect()
    conn.execute("ALTER TABLE job_queue ADD COLUMN queue_name text NOT NULL, ADD COLUMN n int NOT NULL DEFAULT 1")
    (problem,) = check(conn)
    assert (problem.kind, problem.fatal) == (ProblemKind.COLUMN_WRONG, False)
    assert "queue_name is NOT NULL without a default" in problem.message


def test_a_unique_id_that_is_checked_at_the_commit_alone_is_not_unique_for_enqueue(database, connect):
    conn = connect()
    conn.execute("ALTER TABLE job_queue DROP CONSTRAINT job_queue_pkey, ADD UNIQUE (id) DEFERRABLE INITIALLY DEFERRED")
    assert ["job_queue.id is not unique" in problem.message for problem in fatal(check(conn))] == [True]


# what the server and the role may hide


def test_functions_that_were_taken_from_the_role_are_named_with_the_grant(own_server, own_database, connect):
    admin = connect(own_database)
    admin.execute("CREATE ROLE hardened LOGIN IN ROLE jobtide_worker")
    admin.execute("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_try_advisory_xact_lock(bigint) FROM PUBLIC")
    url = own_server.url("main", user="hardened")
    (problem,) = check(connect(url))
    assert (problem.kind, problem.fatal) == (ProblemKind.GRANT_MISSING, False)
    admin.execute(statements(problem.message)[0])
    assert check(connect(url)) == ()


def test_schemas_before_pg_catalog_are_a_warning(connect):
    conn = connect()
    conn.execute("SET search_path = public, pg_catalog")
    (problem,) = check(conn)
    assert "names public before pg_catalog" in problem.message
    conn.execute("SET search_path = public; CREATE TEMP TABLE t ()")
    assert check(conn) == ()


@pytest.mark.parametrize("part", ["worker", "controller"])
def test_a_login_that_does_not_inherit_gets_advice_that_works(database, connect, as_role, part):
    url = as_role(database, f"NOINHERIT IN ROLE jobtide_{part}")
    problems = check(connect(url), part)
    assert {problem.kind for problem in problems} == {ProblemKind.GRANT_MISSING, ProblemKind.RLS_HIDES_ROWS}
    for problem in problems:
        assert f"is a member of jobtide_{part}, but does not inherit" in problem.message
    connect().execute(statements(problems[0].message)[0])
    assert check(connect(url), part) == ()


def test_a_login_whose_group_does_not_inherit_gets_advice_that_works(database, connect, as_role):
    group = as_role(database, "NOINHERIT IN ROLE jobtide_worker").partition("//")[2].partition("@")[0]
    url = as_role(database, f"IN ROLE {group}")
    connect().execute(statements(check(connect(url))[0].message)[0])
    assert check(connect(url)) == ()


# which table


def test_a_foreign_table_first_in_the_search_path_is_not_to_be_altered(database, connect, as_role, works, tenant):
    owner, url = tenant(), as_role(database, "IN ROLE jobtide_worker")
    connect().execute(
        f"""CREATE SCHEMA crm; GRANT USAGE ON SCHEMA crm TO PUBLIC;
            CREATE TABLE crm.job_queue (id bigint PRIMARY KEY, status text, payload json);
            GRANT ALL ON crm.job_queue TO PUBLIC;
            ALTER ROLE {url.partition("//")[2].partition("@")[0]} SET search_path = crm, public"""
    )
    problems = check(connect(url))
    assert "leave crm.job_queue as it is: ALTER ROLE" in problems[0].message
    assert not any("ALTER TABLE" in problem.message for problem in problems)
    assert any("crm.job_queue.tenant_id is missing" in problem.message for problem in problems)
    connect().execute(statements(problems[0].message)[0])
    assert check(connect(url)) == ()
    assert works(url, owner)


def test_a_foreign_table_alone_gets_advice_for_a_schema_of_ones_own(empty_database, connect, as_role):
    conn = connect(empty_database)
    conn.execute("CREATE TABLE job_queue (id bigint PRIMARY KEY, status text)")
    url = as_role(empty_database, "SUPERUSER")
    with pytest.raises(SchemaError, match="If it belongs to another application, leave it as it is") as refused:
        apply(url)
    assert "ALTER TABLE" not in str(refused.value)
    for statement in statements(str(refused.value)):
        conn.execute(statement)
    assert apply(url).done
    assert check(connect(url)) == ()


def test_one_contradiction_of_a_table_that_stands_alone_still_has_its_fix(database, connect):
    conn = connect()
    conn.execute("ALTER TABLE job_queue DROP COLUMN worker_id CASCADE")
    (problem,) = fatal(check(conn))
    conn.execute(statements(problem.message)[0])
    assert fatal(check(conn)) == []


@pytest.mark.parametrize(
    ("ddl", "words"),
    [
        pytest.param(
            "CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO PUBLIC; ALTER TABLE job_queue SET SCHEMA app",
            "app has one; if it is the one: ALTER ROLE",
            id="in another schema",
        ),
        pytest.param(
            "CREATE SCHEMA app; ALTER TABLE job_queue SET SCHEMA app",
            "lacks USAGE on that schema",
            id="in a closed one",
        ),
    ],
)
def test_a_table_that_the_search_path_misses_is_found_in_its_schema(database, connect, as_role, ddl, words):
    url = as_role(database, "IN ROLE jobtide_worker")
    connect().execute(ddl)
    (problem,) = check(connect(url))
    assert (problem.kind, problem.fatal) == (ProblemKind.TABLE_MISSING, True)
    assert words in problem.message
    connect().execute(statements(problem.message)[0])
    assert words not in str(check(connect(url)))


def test_a_partitioned_table_gets_advice_that_leads_to_a_plain_one_with_its_open_jobs(database, connect, tenant, works):
    conn = connect()
    columns = ", ".join(
        f"{name} {type_}" for name, type_ in conn.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'job_queue'::regclass AND attnum > 0"
        ).fetchall()
    )  # fmt: skip
    conn.execute(
        f"DROP TABLE job_queue; CREATE TABLE job_queue ({columns}) PARTITION BY LIST (status);"
        "CREATE TABLE job_queue_rest PARTITION OF job_queue DEFAULT;"
        "CREATE INDEX idx_job_queue_type ON job_queue (type)"
    )
    conn.execute(
        "INSERT INTO job_queue (id, tenant_id, type, status, attempts, created_at) "
        "SELECT gen_random_uuid(), %s, 'old', status, 0, now() "
        "FROM unnest(enum_range(NULL, 'completed'::job_status)) status",
        [tenant()],
    )
    with pytest.raises(SchemaError, match="a partitioned one") as refused:
        apply(database)
    rename, move = statements(str(refused.value))
    conn.execute(rename)
    with pytest.raises(SchemaError, match=r"idx_job_queue_type can't be created. Its name belongs to") as taken:
        apply(database)
    for statement in statements(str(taken.value) + ";"):
        conn.execute(statement)
    apply(database)
    conn.execute(move)
    assert check(conn) == ()
    assert conn.execute("SELECT count(*) FROM job_queue").fetchone() == (2,)
    assert works(database)


def test_a_view_gets_advice_that_leads_to_its_table(database, connect, works):
    conn = connect()
    conn.execute("ALTER TABLE job_queue RENAME TO jobs; CREATE VIEW job_queue AS SELECT * FROM jobs")
    (problem,) = check(conn)
    assert "is no plain table but a view of jobs" in problem.message
    for statement in statements(problem.message):
        conn.execute(statement)
    assert check(conn) == ()
    assert works(database)
    assert conn.execute("SELECT status::text FROM jobs").fetchall() == [("completed",)]


def test_a_view_of_several_tables_gets_advice_that_leads_to_a_new_table(database, connect):
    conn = connect()
    conn.execute("ALTER TABLE job_queue RENAME TO jobs; CREATE VIEW job_queue AS SELECT j.* FROM jobs j, tenants")
    with pytest.raises(SchemaError, match="a view of jobs, tenants") as refused:
        apply(database)
    for statement in statements(str(refused.value)):
        conn.execute(statement)
    with pytest.raises(SchemaError, match="Its name belongs to jobs"):
        apply(database)


# indexes of a renamed table


def test_index_names_that_a_renamed_table_keeps_are_reported_before_a_new_table_is_made(database, connect, catalogs_of):
    conn = connect()
    conn.execute("ALTER TABLE job_queue RENAME TO job_queue_2025")
    before = catalogs_of(database)
    with pytest.raises(SchemaError, match=r"index idx_job_queue_due can't be created") as refused:
        apply(database)
    assert catalogs_of(database) == before
    for statement in statements(str(refused.value).replace("_old; then", "_old; then") + ";"):
        conn.execute(statement)
    assert apply(database).done
    assert apply(database).done == ()
    assert check(conn) == ()


def test_an_index_name_of_another_table_is_a_warning_and_not_reported_as_created(database, connect):
    conn = connect()
    conn.execute(
        "DROP INDEX idx_job_queue_due; CREATE TABLE other (id int); CREATE INDEX idx_job_queue_due ON other (id)"
    )
    for _ in range(2):
        applied = apply(database)
        assert applied.done == ()
        assert ["Its name belongs to other" in problem.message for problem in applied.warnings] == [True]
    conn.execute(statements(applied.warnings[0].message + ";")[0])
    assert apply(database).done == ("created index idx_job_queue_due",)
    assert check(conn) == ()


def test_the_same_index_under_another_name_is_enough(database, connect):
    conn = connect()
    conn.execute("ALTER INDEX idx_job_queue_due RENAME TO jobs_due; ALTER INDEX idx_job_queue_type RENAME TO jobs_type")
    assert check(conn) == ()
    assert apply(database).done == ()


def test_an_index_with_the_keys_of_ours_and_another_condition_is_not_enough(database, connect):
    conn = connect()
    definition = conn.execute("SELECT pg_get_indexdef('idx_job_queue_due'::regclass)").fetchone()[0]
    conn.execute("DROP INDEX idx_job_queue_due")
    conn.execute(definition.replace("idx_job_queue_due", "jobs_due").replace("'pending'", "'failed'"))
    assert [problem.kind for problem in check(conn)] == [ProblemKind.INDEX_MISSING]
    assert apply(database).done == ("created index idx_job_queue_due",)


def test_an_invalid_index_of_the_same_name_in_another_schema_is_not_dropped(database, connect):
    conn = connect()
    conn.execute("CREATE SCHEMA app; CREATE TABLE app.t (id int); CREATE INDEX idx_job_queue_due ON app.t (id)")
    conn.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.idx_job_queue_due'::regclass")
    assert apply(f"{database}?options=-csearch_path%3Dapp,public").done == ("rebuilt invalid index idx_job_queue_due",)
    assert conn.execute("SELECT to_regclass('app.idx_job_queue_due') IS NOT NULL").fetchone() == (True,)


# the trial


def hook(conn, body: str, when: str = "BEFORE UPDATE") -> None:
    conn.execute(
        f"""CREATE FUNCTION hook() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
            CREATE TRIGGER audit {when} ON job_queue FOR EACH ROW EXECUTE FUNCTION hook()"""
    )


def test_a_trial_of_a_complete_table_finds_nothing_and_leaves_nothing(database, connect, trial, people):
    conn = connect()
    rows = "SELECT array_agg((ctid, xmin, xmax)::text) FROM job_queue", "SELECT count(*) FROM tenants"
    before = [conn.execute(query).fetchone() for query in rows]
    assert trial(database) == ()
    assert [conn.execute(query).fetchone() for query in rows] == before


@pytest.mark.parametrize(
    ("body", "what"),
    [
        pytest.param("IF NEW.status = 'completed' THEN RETURN NULL; END IF; RETURN NEW;", "completed", id="completed"),
        pytest.param("IF NEW.status = 'completed' THEN RETURN OLD; END IF; RETURN NEW;", "completed", id="as it was"),
        pytest.param("IF NEW.status = 'failed' THEN RETURN NULL; END IF; RETURN NEW;", "failed", id="failed"),
        pytest.param("IF NEW.status = OLD.status THEN RETURN NULL; END IF; RETURN NEW;", "a lease", id="extension"),
        pytest.param("IF NEW.status = 'pending' THEN RETURN NULL; END IF; RETURN NEW;", "a retry", id="retry"),
        pytest.param("RETURN NULL;", "a claim", id="claim"),
        pytest.param("NEW.worker_id := 'w1'; RETURN NEW;", "a claim", id="another worker_id"),
        pytest.param("NEW.attempts := OLD.attempts; RETURN NEW;", "a claim", id="attempts not counted"),
    ],
)
def test_a_trigger_that_ignores_a_write_is_fatal_and_named(database, connect, trial, body, what):
    hook(connect(), body)
    problem = trial(database)[0]
    assert (problem.kind, problem.fatal) == (ProblemKind.WRITE_IGNORED, True)
    assert what in problem.message
    assert "Look at trigger audit of public.job_queue" in problem.message


@pytest.mark.parametrize(("event", "is_fatal"), [("UPDATE", True), ("INSERT", False)])
def test_a_rule_is_named_with_what_it_prevents(database, connect, trial, event, is_fatal):
    conn = connect()
    conn.execute(f"CREATE RULE quiet AS ON {event} TO job_queue DO ALSO NOTIFY jobs")
    (problem,) = check(conn)
    assert problem.fatal is is_fatal
    assert [found.kind for found in trial(database)] == [ProblemKind.NOT_TRIED]
    conn.execute(re.search(r"DROP RULE [^;]+;", problem.message)[0])
    assert (check(conn), trial(database)) == ((), ())


@pytest.mark.parametrize(
    ("ddl", "words"),
    [
        pytest.param(
            "ALTER TABLE job_queue ADD CONSTRAINT c CHECK (status <> 'completed')",
            'refused the end of a completed job.*violates check constraint "c"',
            id="a constraint",
        ),
        pytest.param("ALTER TABLE job_queue ADD CHECK (attempts < 1)", "refused a claim", id="of claims"),
        pytest.param(
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;"
            "CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON job_queue DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW WHEN (NEW.status = 'failed') EXECUTE FUNCTION no()",
            "refused the end of a failed job.*not today.*trigger late",
            id="a trigger that waits for the commit",
        ),
    ],
)
def test_a_write_that_the_server_refuses_is_a_warning_in_its_words(database, connect, trial, ddl, words):
    connect().execute(ddl)
    (problem,) = trial(database)
    assert (problem.kind, problem.fatal) == (ProblemKind.WRITE_REFUSED, False)
    assert re.search(words, problem.message), problem.message


def test_a_trigger_with_an_error_of_its_own_is_fatal(database, connect, trial):
    hook(connect(), "INSERT INTO missing_audit VALUES (NEW.id); RETURN NEW;", "AFTER UPDATE")
    problem = trial(database)[0]
    assert (problem.kind, problem.fatal) == (ProblemKind.WRITE_REFUSED, True)
    assert 'relation "missing_audit" does not exist' in problem.message


def test_a_trigger_that_stops_one_tenant_is_no_problem_of_the_table(database, connect, trial, people, as_role):
    hook(connect(), f"IF NEW.tenant_id = '{people.mine}' THEN RETURN NULL; END IF; RETURN NEW;")
    assert trial(as_role(database, "IN ROLE jobtide_worker")) == ()


def test_types_and_tenants_that_a_trial_may_not_invent_are_taken_from_jobs(database, connect, trial, people, as_role):
    connect().execute("ALTER TABLE job_queue ADD CHECK (type IN ('t', 'u'))")
    url = as_role(database, "IN ROLE jobtide_worker")
    assert trial(url) == ()
    hook(connect(), "IF NEW.status = 'completed' THEN RETURN NULL; END IF; RETURN NEW;")
    assert [problem.kind for problem in trial(url)] == [ProblemKind.WRITE_IGNORED]


def test_among_other_jobs_of_its_tenant_a_trial_claims_its_own(database, connect, trial, people, as_role):
    conn = connect()
    conn.execute("ALTER TABLE job_queue ADD CHECK (type = 't')")
    conn.execute(
        "INSERT INTO job_queue (tenant_id, type, next_retry_at) SELECT %s, 't', now() - n * interval '1 s' "
        "FROM generate_series(1, 200) n",
        [people.mine],
    )
    url = as_role(database, "IN ROLE jobtide_worker")
    assert trial(url) == ()
    holder = connect(autocommit=False)
    holder.execute("SELECT FROM job_queue FOR UPDATE")
    assert trial(url) == ()


@pytest.mark.parametrize(
    ("ddl", "words"),
    [
        pytest.param("SELECT", "can't add a tenant to tenants, and the table has no job", id="no tenant"),
        pytest.param(
            "INSERT INTO tenants DEFAULT VALUES; INSERT INTO job_queue (tenant_id, type) SELECT id, 't' FROM tenants;"
            "ALTER TABLE job_queue ADD CHECK (payload ? 'v') NOT VALID",
            "refused a job of tenant .* violates check constraint",
            id="no payload that is accepted",
        ),
    ],
)
def test_what_could_not_be_tried_is_a_warning_with_the_reason(database, connect, trial, as_role, ddl, words):
    connect().execute(ddl)
    (problem,) = trial(as_role(database, "IN ROLE jobtide_worker"))
    assert (problem.kind, problem.fatal) == (ProblemKind.NOT_TRIED, False)
    assert re.search(words, problem.message), problem.message


def test_a_trial_does_not_wait_for_a_lock_on_the_table(database, connect, trial):
    holder = connect(autocommit=False)
    holder.execute("LOCK TABLE job_queue IN SHARE MODE")
    (problem,) = trial(database)
    assert (problem.kind, problem.fatal) == (ProblemKind.NOT_TRIED, False)
    assert "lock timeout" in problem.message


def test_a_trial_waits_for_a_lock_of_a_trigger_once(database, connect, trial, people):
    conn, holder = connect(), connect(autocommit=False)
    conn.execute("CREATE SEQUENCE waits")
    hook(conn, "PERFORM nextval('waits'); PERFORM pg_advisory_xact_lock(7); RETURN NEW;")
    holder.execute("SELECT pg_advisory_xact_lock(7)")
    (problem,) = trial(database)
    assert problem.kind is ProblemKind.NOT_TRIED
    assert conn.execute("SELECT last_value FROM waits").fetchone() == (1,), "one job of several that it could try"


def test_a_table_without_a_foreign_key_is_tried_with_a_tenant_of_its_own(database, connect, trial, as_role):
    conn = connect()
    conn.execute("ALTER TABLE job_queue DROP CONSTRAINT job_queue_tenant_id_fkey")
    url = as_role(database, "IN ROLE jobtide_worker")
    assert trial(url) == ()
    hook(conn, "RETURN NULL;")
    assert [problem.kind for problem in trial(url)] == [ProblemKind.WRITE_IGNORED]


def test_the_command_tries_and_reports(database, connect, capsys):
    hook(connect(), "IF NEW.status = 'completed' THEN RETURN NULL; END IF; RETURN NEW;")
    assert main(["schema", "check", "--database-url", database]) == 1
    assert capsys.readouterr().out.startswith("error: WriteIgnored: the end of a completed job in public.job_queue")
    assert main(["schema", "check", "--catalogs-only", "--database-url", database]) == 0
    assert capsys.readouterr().out == "ok\n"
    assert main(["schema", "check", "--part", "controller", "--database-url", database]) == 0


def test_a_trial_needs_no_more_than_the_workers_rights(database, trial, as_role, people):
    assert trial(as_role(database, "IN ROLE jobtide_worker")) == ()


def test_a_lost_connection_is_an_error_and_no_problem_of_the_table(database, connect):
    session = Session(lambda: database)
    connection = session.connection()
    connect().execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        try_out(connection)


def test_two_trials_at_once_do_not_see_each_other(database, connect, trial, people):
    other = connect(autocommit=False)
    other.execute(
        "INSERT INTO job_queue (id, tenant_id, type) VALUES (%s, %s, 'jobtide.trial')", [uuid4(), people.mine]
    )
    assert trial(database) == ()
