"""A database that has everything but the job queue: Supabase's roles, auth schema and an app's own people."""

from __future__ import annotations

import psycopg
import pytest

from jobtide.schema import SchemaError, apply, check

# Functions with other bodies and another owner than ours; tables with more columns and a policy of the app's.
SUPABASE = """
CREATE SCHEMA auth AUTHORIZATION {auth_owner};
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid $$;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
ALTER FUNCTION auth.uid() OWNER TO {auth_owner};
ALTER FUNCTION auth.jwt() OWNER TO {auth_owner};
GRANT USAGE ON SCHEMA auth TO PUBLIC;
CREATE TABLE tenants (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), subdomain text, settings jsonb DEFAULT '{{}}');
CREATE TABLE users (
  id uuid PRIMARY KEY, tenant_id uuid REFERENCES tenants (id), email text, role text DEFAULT 'member'
  {is_super_admin}
);
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_row ON users FOR SELECT TO authenticated USING (id = auth.uid());
GRANT SELECT ON users, tenants TO authenticated;
ALTER TABLE tenants OWNER TO {app_owner};
ALTER TABLE users OWNER TO {app_owner};
GRANT CREATE, USAGE ON SCHEMA public TO {app_owner};
ALTER DEFAULT PRIVILEGES FOR ROLE {app_owner} IN SCHEMA public
  GRANT ALL ON TABLES TO anon, authenticated, service_role;
"""


@pytest.fixture
def supabase(empty_database, connect, as_role):
    """Returns a function that makes it and gives the URL of the app's owner, who is no superuser."""

    def make(is_super_admin: str = ", is_super_admin boolean DEFAULT false") -> str:
        app_owner, auth_owner = as_role(empty_database), as_role(empty_database)
        ddl = SUPABASE.format(app_owner=_user(app_owner), auth_owner=_user(auth_owner), is_super_admin=is_super_admin)
        connect(empty_database).execute(ddl)
        return app_owner

    return make


def test_only_what_is_missing_is_added(supabase, empty_database, connect, schema_of):
    app_owner = supabase()
    before = schema_of(empty_database).splitlines()
    apply(app_owner)
    after = schema_of(empty_database).splitlines()
    assert [line for line in before if line not in after] == []
    made = connect(empty_database).execute(
        """
        SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^(tenants|users)'
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, 'auth'::regnamespace)
        ORDER BY 1
        """
    )
    assert [name for (name,) in made] == [
        "idx_job_queue_due",
        "idx_job_queue_running",
        "idx_job_queue_status_created_at",
        "idx_job_queue_tenant_id",
        "idx_job_queue_type",
        "job_queue",
        "job_queue_pkey",
        "jobtide_current_tenant_id",
        "jobtide_is_super_admin",
        "jobtide_pool_limits",
        "jobtide_pool_limits_pkey",
        "jobtide_tenant_limits",
        "jobtide_tenant_limits_pkey",
        "jobtide_wake",
        "jwt",
        "uid",
    ]


def test_the_apps_people_decide_who_sees_what(supabase, empty_database, connect):
    apply(supabase())
    admin = connect(empty_database)
    user, super_admin, _ = _people(admin)
    as_user = connect(empty_database, role="authenticated", claims={"sub": str(user)})
    as_admin = connect(empty_database, role="authenticated", claims={"sub": str(super_admin)})
    assert as_user.execute("SELECT count(*) FROM job_queue").fetchone() == (1,)
    assert as_admin.execute("SELECT count(*) FROM job_queue").fetchone() == (2,)
    assert connect(empty_database, role="service_role").execute("SELECT count(*) FROM job_queue").fetchone() == (2,)


def test_people_who_may_not_read_users_see_their_jobs_all_the_same(supabase, empty_database, connect):
    apply(supabase())
    admin = connect(empty_database)
    user, _, _ = _people(admin)
    admin.execute("REVOKE ALL ON users FROM authenticated")
    conn = connect(empty_database, role="authenticated", claims={"sub": str(user)})
    assert conn.execute("SELECT count(*) FROM job_queue").fetchone() == (1,)


@pytest.mark.parametrize(
    ("role", "statement"), [("anon", "SELECT FROM job_queue"), ("authenticated", "TRUNCATE job_queue")]
)
def test_default_privileges_of_the_schema_give_nothing_away(supabase, empty_database, connect, role, statement):
    apply(supabase())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connect(empty_database, role=role).execute(statement)


@pytest.mark.parametrize(
    ("claims", "jobs"),
    [
        pytest.param({"app_metadata": {"is_super_admin": True}}, 2, id="set by the auth server"),
        pytest.param({"app_metadata": {"is_super_admin": False}}, 1, id="denied by the auth server"),
        pytest.param({"app_metadata": {}}, 1, id="not set"),
        pytest.param({"user_metadata": {"is_super_admin": True}}, 1, id="set by the user"),
    ],
)
def test_without_a_column_is_super_admin_the_auth_servers_claim_decides(
    supabase, empty_database, connect, claims, jobs
):
    apply(supabase(is_super_admin=""))
    user, _, _ = _people(connect(empty_database), super_admin_column=False)
    conn = connect(empty_database, role="authenticated", claims={"sub": str(user)} | claims)
    assert conn.execute("SELECT count(*) FROM job_queue").fetchone() == (jobs,)


def test_an_applier_who_cannot_see_users_is_refused_before_anything_is_made(
    supabase, empty_database, connect, as_role, schema_of
):
    supabase()
    stranger = as_role(empty_database)
    connect(empty_database).execute(f"GRANT CREATE ON SCHEMA public TO {_user(stranger)}")
    connect(empty_database).execute(f"GRANT REFERENCES, SELECT ON tenants TO {_user(stranger)}")
    before = schema_of(empty_database)
    with pytest.raises(SchemaError, match=r"can't read id, tenant_id of users.*apply as the owner of users"):
        apply(stranger)
    assert schema_of(empty_database) == before
    connect(empty_database).execute(f"GRANT SELECT ON users TO {_user(stranger)}")
    with pytest.raises(SchemaError, match=r"row level security hides rows of users from role \w+.*owner of users"):
        apply(stranger)


def test_a_login_in_the_worker_group_works_there(supabase, empty_database, connect, as_role):
    apply(supabase())
    apply(empty_database, roles=True)
    _people(connect(empty_database))
    worker = connect(as_role(empty_database, "IN ROLE jobtide_worker"))
    assert check(worker) == ()
    assert worker.execute("UPDATE job_queue SET status = 'processing'").rowcount == 2


def _user(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["user"])


def _people(admin, *, super_admin_column: bool = True):
    """A user and a super admin of two tenants with a job each."""
    mine, other = (admin.execute("INSERT INTO tenants DEFAULT VALUES RETURNING id").fetchone()[0] for _ in range(2))
    insert = "INSERT INTO users (id, tenant_id) VALUES (gen_random_uuid(), %s) RETURNING id"
    user, super_admin = (admin.execute(insert, [tenant]).fetchone()[0] for tenant in (mine, other))
    if super_admin_column:
        admin.execute("UPDATE users SET is_super_admin = true WHERE id = %s", [super_admin])
    admin.execute("INSERT INTO job_queue (tenant_id, type) VALUES (%s, 't'), (%s, 't')", [mine, other])
    return user, super_admin, mine
