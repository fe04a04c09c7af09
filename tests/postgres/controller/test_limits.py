"""The controller stores limits of tenants where workers read them, and follows the user's view, broken or not."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobtide.queue.limits import kinds_of
from jobtide.sql import load
from jobtide_controller.api.spec import Tenants
from jobtide_controller.decide.limits import ALL_TYPES, Limit, PoolLimits, in_force, pool_limits
from jobtide_controller.decide.reading import Key
from jobtide_controller.postgres import limits
from jobtide_controller.postgres.limits import LimitsKeeper
from jobtide_controller.postgres.session import Session

ONE, TWO = str(UUID(int=1)), str(UUID(int=2))
VIEW = """CREATE VIEW job_tenant_limits AS
SELECT tenant_id, NULL::text AS type, most AS max_concurrent, weight, until FROM plans"""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keeper(database, clock):
    opened = []

    def new(role: str | None = "jobtide_controller") -> LimitsKeeper:
        options = "" if role is None else f"?options=-crole%3D{role}"
        opened.append(Session(lambda: f"{database}{options}" if "?" not in database else f"{database}&{options[1:]}"))
        return LimitsKeeper(opened[-1], monotonic=clock)

    yield new
    for session in opened:
        session.close()


@pytest.fixture
def admin(connect):
    connection = connect()
    connection.execute("CREATE TABLE plans (tenant_id uuid, most int, weight int, until timestamptz)")
    return connection


def stored(admin):
    return {
        (row[0], str(row[1])): row[2:]
        for row in admin.execute("SELECT pool, tenant_id, max_concurrent, weight FROM jobtide_tenant_limits")
    }


def headers(admin):
    return {row[0]: row[1:] for row in admin.execute("SELECT pool, max_concurrent, types FROM jobtide_pool_limits")}


def test_the_limits_of_pools_are_stored_and_forgotten_with_them(keeper, admin):
    one = keeper()
    kept = one.keep([PoolLimits("a/x", 4, {ONE: Limit(0, 3)}), PoolLimits("a/y", None, {})], [])
    assert (kept.is_stored, kept.trouble) == (True, None)
    assert stored(admin) == {("a/x", ONE): (0, 3)}
    assert headers(admin) == {"a/x": (4, [""]), "a/y": (None, [])}
    one.keep([PoolLimits("a/x", 5, {TWO: Limit(7)})], ["a/y"])
    assert stored(admin) == {("a/x", TWO): (7, None)}
    assert headers(admin) == {"a/x": (5, [""])}
    assert one.paused == frozenset()


def test_rows_of_pools_that_are_not_ours_stay(keeper, admin):
    keeper().keep([PoolLimits("elsewhere/x", 4, {ONE: Limit(1)})], [])
    keeper().keep([PoolLimits("a/x", 4, {})], [])
    assert set(headers(admin)) == {"elsewhere/x", "a/x"}
    assert stored(admin) == {("elsewhere/x", ONE): (1, None)}


def test_a_change_notifies_and_what_stays_as_it_is_does_not(keeper, admin, connect):
    listening = connect()
    listening.execute("LISTEN jobtide")
    one = keeper()
    for own, received in (({ONE: Limit(1)}, 1), ({ONE: Limit(1)}, 0), ({ONE: Limit(2)}, 1), ({}, 1)):
        one.keep([PoolLimits("a/x", None, own)], [])
        admin.execute("NOTIFY jobtide, 'over'")
        payloads = [notice.payload for notice in listening.notifies(timeout=10, stop_after=received + 1)]
        assert payloads == [""] * received + ["over"]


def test_limits_of_the_view_are_followed_within_a_second(keeper, admin, clock):
    admin.execute(VIEW)
    admin.execute("GRANT SELECT ON job_tenant_limits TO jobtide_controller")
    one = keeper()
    admin.execute("INSERT INTO plans VALUES (%s, 0, NULL, NULL), (%s, NULL, 5, '2200-01-01Z')", [ONE, TWO])
    kept = one.keep([], [])
    assert kept.has_view
    assert kept.shared[Key(ALL_TYPES, ONE)] == Limit(0)
    assert stored(admin) == {("", ONE): (0, None), ("", TWO): (None, 5)}
    assert one.paused == {ONE}
    admin.execute("UPDATE plans SET most = 8 WHERE tenant_id = %s", [ONE])
    clock.now += 1
    assert one.keep([], []).shared[Key(ALL_TYPES, ONE)] == Limit(8)
    assert one.paused == frozenset()
    admin.execute("DROP VIEW job_tenant_limits")
    clock.now += 11
    assert one.keep([], []).shared == {}
    assert stored(admin) == {}


BROKEN = [
    pytest.param("SELECT tenant_id, most FROM plans", "ViewWrong", id="columns missing"),
    pytest.param("SELECT 'x'::text AS tenant_id, NULL::text AS type, 1 AS max_concurrent, 1 AS weight, "
                 "NULL::timestamptz AS until", "ViewWrong", id="a tenant that is no UUID"),
    pytest.param("SELECT gen_random_uuid() AS tenant_id, NULL::text AS type, -1 AS max_concurrent, 1 AS weight, "
                 "NULL::timestamptz AS until", "ViewWrong", id="a negative limit"),
    pytest.param("SELECT gen_random_uuid() AS tenant_id, NULL::text AS type, 1 AS max_concurrent, 0 AS weight, "
                 "NULL::timestamptz AS until", "ViewWrong", id="a weight of zero"),
    pytest.param("SELECT NULL::uuid AS tenant_id, NULL::text AS type, 1 AS max_concurrent, 1 AS weight, "
                 "NULL::timestamptz AS until", "ViewWrong", id="no tenant"),
    pytest.param("SELECT p.tenant_id, NULL::text AS type, 1 AS max_concurrent, 1 AS weight, NULL::timestamptz AS until "
                 "FROM plans AS p, generate_series(1, 2)", "ViewWrong", id="a tenant twice"),
    pytest.param("SELECT gen_random_uuid() AS tenant_id, NULL::text AS type, 1 AS max_concurrent, 1 AS weight, "
                 "NULL::timestamptz AS until FROM generate_series(1, 10001)", "ViewTooLarge", id="too many rows"),
    pytest.param("SELECT p.tenant_id, NULL::text AS type, 1 / 0 AS max_concurrent, 1 AS weight, "
                 "NULL::timestamptz AS until FROM plans AS p", "ViewWrong", id="an error"),
    pytest.param("SELECT p.tenant_id, NULL::text AS type, 1 AS max_concurrent, 1 AS weight, NULL::timestamptz AS until "
                 "FROM plans AS p, pg_sleep(5)", "ViewSlow", id="slow"),
    pytest.param("SELECT p.tenant_id, NULL::text AS type, 'NaN'::numeric AS max_concurrent, 1 AS weight, "
                 "NULL::timestamptz AS until FROM plans AS p", "ViewWrong", id="a limit that is no number"),
    pytest.param("SELECT p.tenant_id, NULL::text AS type, 'Infinity'::float8 AS max_concurrent, 1 AS weight, "
                 "NULL::timestamptz AS until FROM plans AS p", "ViewWrong", id="an infinite limit"),
    pytest.param("SELECT p.tenant_id, repeat('x', 1000000) AS type, 1 AS max_concurrent, 1 AS weight, "
                 "NULL::timestamptz AS until FROM plans AS p", "ViewWrong", id="a megabyte of a type"),
    pytest.param("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT gen_random_uuid() AS tenant_id, "
                 "NULL::text AS type, 1 AS max_concurrent, 1 AS weight, NULL::timestamptz AS until FROM r WHERE n > 1",
                 "ViewSlow", id="endless recursion"),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "reason"), BROKEN)
def test_with_a_broken_view_the_last_known_limits_hold_and_it_says_why(keeper, admin, clock, broken, reason):
    admin.execute(VIEW)
    admin.execute("GRANT SELECT ON job_tenant_limits TO jobtide_controller")
    admin.execute("INSERT INTO plans VALUES (%s, 3, NULL, NULL)", [ONE])
    one = keeper()
    before = one.keep([], []).shared
    with admin.transaction():
        admin.execute("DROP VIEW job_tenant_limits")
        admin.execute(f"CREATE VIEW job_tenant_limits AS {broken}")
        admin.execute("GRANT SELECT ON job_tenant_limits TO jobtide_controller")
    clock.now += 1
    kept = one.keep([PoolLimits("a/x", 4, {})], [])
    assert (kept.shared, kept.trouble.reason) == (before, reason)
    assert stored(admin) == {("", ONE): (3, None)}
    assert headers(admin)["a/x"] == (4, [])
    again = keeper().keep([], [])  # a controller that starts now goes on with them too
    assert (again.shared, again.trouble.reason) == (before, reason)
    with admin.transaction():
        admin.execute("DROP VIEW job_tenant_limits")
        admin.execute(VIEW)
        admin.execute("GRANT SELECT ON job_tenant_limits TO jobtide_controller")
    clock.now += 31
    assert one.keep([], []).trouble is None


def test_a_view_that_is_not_granted_is_named_with_the_grant(keeper, admin):
    admin.execute(VIEW)
    trouble = keeper().keep([], []).trouble
    assert trouble.reason == "ViewNotAllowed"
    assert "GRANT SELECT ON job_tenant_limits TO jobtide_controller" in trouble.message


def test_a_view_changes_nothing_even_if_one_of_its_functions_tries(keeper, admin):
    admin.execute("CREATE FUNCTION sneak() RETURNS int LANGUAGE sql VOLATILE SECURITY DEFINER "
                  "AS 'DELETE FROM job_queue; SELECT 1'")  # fmt: skip
    admin.execute("CREATE VIEW job_tenant_limits AS SELECT gen_random_uuid() AS tenant_id, NULL::text AS type, "
                  "sneak() AS max_concurrent, 1 AS weight, NULL::timestamptz AS until")  # fmt: skip
    admin.execute("GRANT SELECT ON job_tenant_limits TO jobtide_controller")
    trouble = keeper().keep([], []).trouble
    assert trouble.reason == "ViewWrong"
    assert "read-only" in trouble.message


def hostile(admin, body):
    """The view, whose function `sneak` runs with the controller's rights."""
    admin.execute(f"CREATE FUNCTION sneak() RETURNS int LANGUAGE plpgsql AS $$ BEGIN {body} RETURN 1; END $$")
    admin.execute("CREATE VIEW job_tenant_limits AS SELECT p.tenant_id, NULL::text AS type, sneak() AS max_concurrent, "
                  "1 AS weight, NULL::timestamptz AS until FROM plans AS p")  # fmt: skip
    admin.execute("GRANT SELECT ON job_tenant_limits TO jobtide_controller")
    admin.execute("INSERT INTO plans VALUES (%s, 3, NULL, NULL)", [ONE])


def test_what_a_function_of_a_view_sets_does_not_hold_for_the_session(keeper, admin):
    names = ("search_path", "statement_timeout", "default_transaction_read_only")
    hostile(admin, "PERFORM set_config('search_path', 'evil', false), set_config('statement_timeout', '1', false), "
                   "set_config('default_transaction_read_only', 'on', false);")  # fmt: skip
    one = keeper()
    asked = [one._session.connect().execute(f"SHOW {name}").fetchone() for name in names]
    assert one.keep([PoolLimits("a/x", 4, {})], []).trouble is None
    assert [one._session.connect().execute(f"SHOW {name}").fetchone() for name in names] == asked
    assert stored(admin) == {("", ONE): (1, 1)}


def test_a_view_whose_function_catches_the_timeout_is_cut_off_and_ends(keeper, admin, clock, monkeypatch, wait_until):
    monkeypatch.setattr(limits, "VIEW_CUT_SECONDS", 1.0)
    hostile(admin, "LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP;")
    one = keeper()
    kept = one.keep([PoolLimits("a/x", 4, {})], [])
    assert kept.trouble.reason == "ViewSlow"
    clock.now += 1
    assert one.keep([PoolLimits("a/x", 5, {})], []).trouble.reason == "ViewSlow"
    assert headers(admin) == {"a/x": (5, [])}
    runs = (
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%job_tenant_limits%'"
        " AND pid <> pg_backend_pid() AND datname = current_database()"
    )
    wait_until(lambda: admin.execute(runs).fetchone() == (True,))


def test_an_end_after_the_last_year_of_a_calendar_is_none(keeper, admin):
    admin.execute(VIEW)
    admin.execute("GRANT SELECT ON job_tenant_limits TO jobtide_controller")
    admin.execute("INSERT INTO plans VALUES (%s, 3, NULL, '294276-12-31 23:59:59.999999Z')", [ONE])
    kept = keeper().keep([], [])
    assert (kept.trouble, kept.shared) == (None, {Key(ALL_TYPES, ONE): Limit(3)})


def test_without_the_tables_nothing_is_stored_and_it_says_what_to_run(keeper, admin, clock):
    admin.execute("DROP TABLE jobtide_pool_limits, jobtide_tenant_limits")
    one = keeper()
    kept = one.keep([PoolLimits("a/x", 4, {})], [])
    assert (kept.is_stored, kept.trouble.reason) == (False, "NotStored")
    assert "jobtide schema apply" in kept.trouble.message


def test_tables_that_appear_later_get_all_limits(keeper, admin, clock, database):
    from jobtide.schema import apply

    admin.execute("DROP TABLE jobtide_pool_limits, jobtide_tenant_limits")
    one = keeper()
    one.keep([PoolLimits("a/x", 4, {})], [])
    apply(database, roles=True)
    clock.now += 11
    kept = one.keep([], [])
    assert (kept.is_stored, kept.trouble) == (True, None)
    assert headers(admin) == {"a/x": (4, [])}


def test_the_trouble_of_a_role_that_may_not_write_names_the_command(keeper, admin, clock):
    admin.execute("REVOKE INSERT ON jobtide_pool_limits FROM jobtide_controller")
    one = keeper()
    kept = one.keep([PoolLimits("a/x", 4, {})], [])
    assert (kept.is_stored, kept.trouble.reason) == (False, "NotStored")
    assert "jobtide schema apply --roles" in kept.trouble.message
    admin.execute("GRANT INSERT ON jobtide_pool_limits TO jobtide_controller")
    clock.now += 11
    assert one.keep([], []).trouble is None
    assert headers(admin) == {"a/x": (4, [])}


@pytest.mark.parametrize("role", ["anon", "authenticated", "jobtide_worker", "jobtide_operator"])
@pytest.mark.parametrize("table", ["jobtide_pool_limits", "jobtide_tenant_limits"])
def test_no_other_role_writes_limits_even_with_every_grant(connect, role, table):
    admin = connect()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connect(role=role).execute(f"DELETE FROM {table}")
    admin.execute("INSERT INTO jobtide_pool_limits VALUES ('a/x', 1)")
    admin.execute("INSERT INTO jobtide_tenant_limits VALUES ('a/x', %s, '', 1)", [ONE])
    admin.execute(f"GRANT ALL ON {table} TO {role}")
    try:
        user = connect(role=role)
        assert user.execute(f"DELETE FROM {table}").rowcount == 0
        sees = user.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert sees == (0 if role in {"anon", "authenticated"} else 1,)
    finally:
        admin.execute(f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {table} FROM {role}")


NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LIMITS = st.builds(
    Limit,
    st.none() | st.integers(0, 5),
    st.none() | st.integers(1, 9),
    st.none() | st.sampled_from([NOW.timestamp() - 10_000_000_000 / 1e3, 4_000_000_000.0]),
)
ASK = """SELECT coalesce(own.max_concurrent, shared.max_concurrent, 2147483647) FROM (SELECT) AS x"""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(own=st.none() | LIMITS, shared=st.none() | LIMITS, typed=st.none() | LIMITS, cap=st.none() | st.integers(1, 5))
def test_claims_and_sizing_follow_the_same_rule(keeper, connect, tenant, own, shared, typed, cap):
    """The rule is written twice, in SQL for claims and in Python for sizes: both give the same cap and weight."""
    owner = str(tenant())
    admin = connect()
    admin.execute("TRUNCATE jobtide_pool_limits, jobtide_tenant_limits")
    admin.execute("INSERT INTO job_queue (tenant_id, type) VALUES (%s, 'a')", [owner])
    one = keeper()
    one.keep([PoolLimits("p", cap, {} if own is None else {owner: own})], [])
    view = {Key(type_, owner): limit for type_, limit in ((ALL_TYPES, shared), ("a", typed)) if limit is not None}
    one._store_shared(view)
    found = {row[0]: {"max_concurrent": row[1], "types": row[2]} for row in admin.execute(
        "SELECT pool, max_concurrent, types FROM jobtide_pool_limits")}  # fmt: skip
    kinds = kinds_of("p", found, ("a",))
    lap = {
        "types": ["a"],
        "firsts": [owner],
        "lasts": [owner],
        "sinces": [None],
        "since_ids": [None],
        "wanted": 1,
        "counted": ["a"],
    }
    with admin.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        rows = cursor.execute(load("jobtide.sql", "lock_tenants"), {**lap, **kinds.parameters}).fetchall()
    given_tenants = Tenants.model_construct(
        max_concurrent=cap,
        overrides={},
        limits={} if own is None else Tenants.model_validate(
            {"limits": {owner: {"maxConcurrent": own.max_concurrent, "weight": own.weight, "until": None
                                if own.until is None else datetime.fromtimestamp(own.until, UTC)}}}).limits,
    )  # fmt: skip
    assert pool_limits("p", given_tenants).limits == ({} if own is None else {owner: own})
    rule = in_force(given_tenants, view, [Key("a", owner)], time.time())
    caps = [rule.cap_of(owner), rule.type_cap_of("a", owner)]
    if 0 in caps:
        assert rows == []
        return
    weight = rule.limits[owner].weight if owner in rule.limits else None
    typed_weight = typed.weight if typed is not None and typed.holds(time.time()) else None
    own_weight = own.weight if own is not None and own.holds(time.time()) else None
    (row,) = rows
    assert [row["cap"], row["type_cap"]] == [2**31 - 1 if one is None else one for one in caps]
    assert row["weight"] == (own_weight or typed_weight or weight or 1)
