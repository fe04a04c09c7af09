"""`jobtide doctor` on real servers: each fault is made for real, is named with what to do, and hides no other check."""

from __future__ import annotations

import json
import re
import uuid

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dev.postgres.pgbouncer import PgBouncer
from dev.postgres.server import Server
from jobtide.__main__ import _parser, main
from jobtide._version import __version__
from jobtide.doctor.database import Examination
from jobtide.schema.script import INDEXES
from tests.pages import DOCTOR, commands, shown
from tests.postgres.worker.proxy import Proxy

BAD = {"warning", "error"}


@pytest.fixture
def login(database, connect):
    """login(group): the URL of a role of its own; without a group it has no right."""
    made = []

    def new(group="jobtide_worker", url=database):
        name = f"doctor_{uuid.uuid4().hex[:12]}"
        made.append(name)
        connect(url).execute(f"CREATE ROLE {name} LOGIN" + (f" IN ROLE {group}" if group else ""))
        return url.replace("postgres@", f"{name}@", 1)

    yield new
    with connect() as admin:
        for name in made:
            admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


@pytest.fixture
def job(connect, tenant):
    admin = connect()
    admin.execute("INSERT INTO job_queue (tenant_id, type, payload) VALUES (%s, 'a', '{}')", [tenant()])
    admin.execute("SELECT pg_stat_force_next_flush()")


def examined(url, part="worker", **options):
    return list(Examination(url, part, **options).findings())


def bad(findings):
    return {(one.check, one.level) for one in findings if one.level in BAD}


def text_of(findings, check):
    return " | ".join(one.text for one in findings if one.check == check)


def role_of(url):
    return psycopg.conninfo.conninfo_to_dict(url)["user"]


@pytest.mark.parametrize("part", ["worker", "controller"])
def test_all_is_well_with_the_roles_that_apply_makes(part, login, job, connect):
    before = connect().execute("SELECT count(*), max(xmin::text) FROM job_queue").fetchone()
    found = examined(login(f"jobtide_{part}"), part)
    assert {one.level for one in found} == {"ok"}, [one for one in found if one.level != "ok"]
    assert "rolled back" in text_of(found, "trial")
    assert connect().execute("SELECT count(*), max(xmin::text) FROM job_queue").fetchone() == before


def test_the_page_shows_what_it_prints(login, job, capsys):
    url = login()
    assert main(["doctor", "--no-cluster", "--database-url", url]) == 0
    _, *page = shown(DOCTOR, "all is well").splitlines()
    assert [_without_numbers(line) for line in capsys.readouterr().out.splitlines()][1:] == [
        _without_numbers(line.replace("media_worker", role_of(url))) for line in page
    ][1:]


def _without_numbers(line):
    return re.sub(r"[\d.]+", "0", line)


def test_the_commands_of_the_page_are_commands():
    found = commands(shown(DOCTOR, "ways to run it"))
    own = [words[words.index("jobtide") + 1 :] for words in found]
    assert len([_parser().parse_args(words) for words in own]) == 5
    assert {words[0] for words in found} == {"jobtide", "kubectl"}


FAULTS = [
    pytest.param("DROP INDEX idx_job_queue_due", "index", "warning", "CREATE INDEX CONCURRENTLY", id="index"),
    pytest.param(
        "DROP INDEX idx_job_queue_due", "schema", "warning", "would add index idx_job_queue_due", id="version"
    ),
    pytest.param(
        "CREATE OR REPLACE FUNCTION jobtide_wake() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "schema",
        "warning",
        "a newer function jobtide_wake",
        id="an older trigger",
    ),
    pytest.param(
        "DROP POLICY jobtide_controller_retention_policy ON job_queue",
        "schema",
        "warning",
        "policy jobtide_controller_retention_policy",
        id="policy of a later version",
    ),
    pytest.param(
        "DROP TABLE jobtide_tenant_limits", "limits", "warning", "jobtide schema apply adds them", id="limits"
    ),
    pytest.param(
        "REVOKE SELECT ON pg_prepared_xacts FROM PUBLIC",
        "health",
        "warning",
        "pg_prepared_xacts; GRANT SELECT on it",
        id="a view of the server",
    ),
    pytest.param("DROP TRIGGER jobtide_wake ON job_queue", "wake", "note", "jobtide schema apply", id="no trigger"),
    pytest.param("ALTER TABLE job_queue RENAME TO jobs", "table", "error", "no table job_queue", id="table"),
    pytest.param(
        "ALTER TABLE job_queue DROP COLUMN attempts CASCADE", "table", "error", "ADD COLUMN attempts", id="column"
    ),
    pytest.param(
        "REVOKE UPDATE (status) ON job_queue FROM jobtide_worker",
        "grants",
        "error",
        "lacks UPDATE on status",
        id="grant",
    ),
    pytest.param(
        "DROP POLICY jobtide_worker_policy ON job_queue", "rls", "error", "row level security stops", id="rls"
    ),
    pytest.param(
        "GRANT UPDATE (status) ON job_queue TO authenticated", "tenants", "warning", "--tenant-walls", id="walls"
    ),
    pytest.param(
        "CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; "
        "CREATE TRIGGER ignore BEFORE UPDATE ON job_queue FOR EACH ROW EXECUTE FUNCTION ignore()",
        "trial",
        "error",
        "trigger ignore",
        id="a trigger that ignores writes",
    ),
    pytest.param(
        "ALTER ROLE {role} SET default_transaction_read_only = on", "settings", "error", "RESET", id="read-only"
    ),
    pytest.param(
        "ALTER ROLE {role} SET session_replication_role = replica",
        "settings",
        "warning",
        "no trigger",
        id="no triggers",
    ),
    pytest.param(
        "ALTER ROLE {role} SET statement_timeout = '900ms'",
        "settings",
        "warning",
        "statement_timeout is 900 ms",
        id="short timeout",
    ),
    pytest.param(
        "ALTER ROLE {role} SET idle_session_timeout = '1h'", "settings", "note", "connect again", id="idle timeout"
    ),
    pytest.param("ALTER ROLE {role} SET synchronous_commit = off", "settings", "note", "run again", id="commits"),
    pytest.param("ALTER ROLE {role} SUPERUSER", "role", "warning", "IN ROLE jobtide_worker", id="superuser"),
    pytest.param(
        "ALTER TABLE job_queue SET (autovacuum_enabled = off)",
        "autovacuum",
        "warning",
        "RESET (autovacuum_enabled)",
        id="autovacuum off",
    ),
]


@pytest.mark.parametrize(("fault", "check", "level", "words"), FAULTS)
def test_a_fault_has_a_line_with_what_to_do(fault, check, level, words, login, job, connect):
    url = login()
    connect().execute(fault.replace("{role}", role_of(url)))
    found = examined(url)
    assert level in {one.level for one in found if one.check == check}, found
    assert words in text_of(found, check)


def test_a_limit_of_the_role_that_stops_workers_is_named_with_the_statement_that_raises_it(login, job, connect):
    url = login()
    connect().execute(f"ALTER ROLE {role_of(url)} CONNECTION LIMIT 1")
    found = examined(url)
    assert bad(found) == {("connections", "error"), ("trial", "error")}
    assert f"ALTER ROLE {role_of(url)} CONNECTION LIMIT N" in text_of(found, "connections")
    assert "too many connections" in text_of(found, "trial")
    assert "CONNECTION LIMIT N" in text_of(found, "trial")


def test_a_limit_of_the_database_is_named_in_the_same_way(login, job, connect):
    url, admin = login(), connect()
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    (used,) = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").fetchone()
    admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT {used + 1}")  # for the doctor's first connection
    found = examined(url)
    assert bad(found) == {("connections", "warning"), ("trial", "error")}
    assert f"ALTER DATABASE {name} CONNECTION LIMIT N" in text_of(found, "connections")
    assert "ALTER DATABASE ... CONNECTION LIMIT N" in text_of(found, "trial")


def test_a_full_limit_of_the_role_is_not_taken_for_a_full_server(login, connect):
    url = login()
    connect().execute(f"ALTER ROLE {role_of(url)} CONNECTION LIMIT 1")
    with psycopg.connect(url):
        (_, connection, _) = examined(url)
    assert "ALTER ROLE ... CONNECTION LIMIT N" in connection.text
    assert "max_connections" not in connection.text


def test_a_limit_counts_all_sessions_of_the_login_and_is_none_for_a_superuser(login, job, connect):
    url = login()
    connect().execute(f"ALTER ROLE {role_of(url)} CONNECTION LIMIT 7")
    with psycopg.connect(url):
        assert f"2 of the 7 that role {role_of(url)} may have" in text_of(examined(url), "connections")
    connect().execute(f"ALTER ROLE {role_of(url)} SUPERUSER")
    assert "may have" not in text_of(examined(url), "connections")


def test_nothing_is_said_of_the_rights_on_a_table_that_is_none(database, connect):
    connect().execute("ALTER TABLE job_queue RENAME TO jobs; CREATE VIEW job_queue AS TABLE jobs")
    found = examined(database)
    assert "no plain table" in text_of(found, "table")
    assert not {"grants", "rls", "index", "trial"} & {one.check for one in found}


def test_a_role_without_rights_and_one_of_the_other_part_are_given_what_to_do(login, job):
    found = examined(login(None))
    assert {("grants", "error"), ("rls", "error")} <= bad(found)
    assert "GRANT jobtide_worker TO" in text_of(found, "grants")
    found = examined(login("jobtide_controller"))
    assert "--part controller" in text_of(found, "role")


def test_rights_of_an_earlier_version_fail_only_what_needs_them(login, job, connect):
    connect().execute("REVOKE DELETE ON job_queue FROM jobtide_controller")
    found = examined(login("jobtide_controller"), "controller")
    assert bad(found) == {("trial", "warning")}
    assert "deletion of ended jobs" in text_of(found, "trial")
    assert "schema apply --roles" in text_of(found, "trial")


def test_on_an_empty_table_what_can_not_be_tried_is_no_fault(login):
    found = examined(login())
    assert bad(found) == set()
    assert "after the first job" in text_of(found, "trial")


def test_an_old_snapshot_of_a_real_session_is_named(login, job, connect):
    url = login()
    reader = connect(autocommit=False)
    reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM job_queue")
    connect().execute("SELECT txid_current()")
    pid = str(reader.info.backend_pid)
    hidden = text_of(examined(url), "snapshot")
    assert f"session {pid}" in hidden
    assert "pg_read_all_stats" in hidden
    assert f"pg_terminate_backend({pid})" in hidden
    connect().execute(f"GRANT pg_read_all_stats TO {role_of(url)}")
    assert f"s old, of session {pid}" in text_of(examined(url), "snapshot")


def test_many_dead_rows_are_found_where_no_vacuum_came(login, connect, tenant):
    admin, holder = connect(), connect(autocommit=False)
    for name in INDEXES:
        admin.execute(f"DROP INDEX {name}")
    holder.execute("LOCK job_queue IN SHARE UPDATE EXCLUSIVE MODE")  # autovacuum passes by a table that it can't lock
    rows = "INSERT INTO job_queue (tenant_id, type, payload) SELECT %s, 'a', '{}' FROM generate_series(1, 100000)"
    owner = tenant()
    with admin.transaction(force_rollback=True):
        admin.execute(rows, [owner])
    admin.execute("SELECT pg_stat_force_next_flush()")
    found = examined(login())
    assert ("dead rows", "warning") in bad(found)
    assert "100,0" in text_of(found, "dead rows")
    assert "VACUUM job_queue" in text_of(found, "dead rows")


def test_a_locked_table_fails_its_own_checks_and_hides_no_other(login, job, connect):
    url = login()
    holder = connect(autocommit=False)
    holder.execute("LOCK job_queue IN ACCESS EXCLUSIVE MODE")
    found = examined(url)
    assert "lock timeout" in text_of(found, "health")
    assert {one.check for one in found} >= {"role", "settings", "connections", "table", "trial", "health"}


def test_a_database_of_another_encoding(server, connect):
    name = f"ascii_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING SQL_ASCII LOCALE 'C' TEMPLATE template0")
    try:
        found = examined(server.url(name))
        assert {("encoding", "error"), ("table", "error")} <= bad(found)
        assert "WITH ENCODING 'UTF8'" in text_of(found, "encoding")
    finally:
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user": "nobody"}, "CREATE ROLE"),
        ({"dbname": "nowhere"}, "create the database"),
        ({"port": "1"}, "nothing listens there"),
        ({"host": "nowhere.invalid"}, "correct the host"),
        ({"sslmode": "require"}, "has no TLS"),
    ],
    ids=["role", "database", "port", "host", "tls"],
)
def test_a_connection_that_fails_says_why_and_what_to_do(changes, words, database):
    found = examined(make_conninfo(database, **changes))
    assert [(one.check, one.level) for one in found] == [
        ("url", "ok"),
        ("connection", "error"),
        ("database", "skipped"),
    ]
    assert words in found[1].text


def test_a_server_that_does_not_answer_is_given_up(database):
    with Proxy(database) as proxy:
        proxy.cut("silent")
        (_, connection, _) = examined(make_conninfo(proxy.url, connect_timeout=2))
    assert "nothing answers there" in connection.text


def test_a_server_that_falls_silent_costs_a_bounded_time_and_each_check_says_so(database):
    with Proxy(database) as proxy:
        url, found = make_conninfo(proxy.url, connect_timeout=2), []
        for one in Examination(url, "worker", answer_seconds=2).findings():
            found.append(one)
            if one.check == "role":
                proxy.cut("silent")
    assert "not answered" in text_of(found, "table")
    assert text_of(found, "trial") == "the errors above come first"
    assert "could not be checked: connection timeout" in text_of(found, "health")


def test_behind_a_pooler_in_transaction_mode_everything_is_tried_too(server, database, job):
    with PgBouncer(server=server) as pooler:
        found = examined(pooler.url(psycopg.conninfo.conninfo_to_dict(database)["dbname"]))
    assert "workers poll" in text_of(found, "pooler")
    assert bad(found) == {("role", "warning")}, "a superuser in this test"
    assert "rolled back" in text_of(found, "trial")


def test_clients_of_another_version_are_named(login, job, connect):
    url = login()
    old = psycopg.connect(url, application_name="jobtide-worker/0.0.9")
    try:
        note = text_of(examined(url), "clients")
    finally:
        old.close()
    assert "1 of jobtide-worker/0.0.9" in note
    assert f"this doctor is {__version__}" in note


def test_a_wrong_password_is_not_shown(server, capsys):
    with Server(version=server.version, password="right") as guarded:
        assert main(["doctor", "--no-cluster", "--database-url", guarded.url(password="geheim")]) == 1
    printed = capsys.readouterr()
    assert "check user and password" in printed.out
    assert "geheim" not in printed.out + printed.err


def test_one_json_object_has_every_line_and_no_password(login, job, capsys, monkeypatch):
    url = make_conninfo(login(), password="geheim")
    monkeypatch.setenv("JOBTIDE_DATABASE_URL", url)
    assert main(["doctor", "--no-cluster", "--json"]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed)
    assert (found["version"], found["part"], found["ok"]) == (__version__, "worker", True)
    assert {one["level"] for one in found["checks"]} == {"ok"}
    assert all(one.keys() == {"place", "check", "level", "text"} for one in found["checks"])
    assert "geheim" not in printed


def test_the_exit_code_is_one_for_an_error_and_zero_for_a_warning(login, job, connect, capsys):
    url = login()
    connect().execute("DROP INDEX idx_job_queue_type")
    assert main(["doctor", "--no-cluster", "--database-url", url]) == 0
    assert capsys.readouterr().out.endswith("\n2 warnings\n")
    connect().execute("DROP POLICY jobtide_worker_policy ON job_queue")
    assert main(["doctor", "--no-cluster", "--database-url", url]) == 1
    assert "1 error, " in capsys.readouterr().out


def test_wrong_arguments_are_refused_with_code_two(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--no-cluster", "--no-database"])
    assert ended.value.code == 2
