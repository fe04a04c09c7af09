"""What a pass costs a database: one connection and the same statements, for any number of pools."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from dev.machine.wait import wait_until
from dev.postgres.server import Server
from jobtide.schema import apply
from jobtide_controller.decide.reading import Reading
from jobtide_controller.loop.limits import MOST_POOLS
from jobtide_controller.postgres.database import Database
from jobtide_controller.postgres.readings import Limits
from tests.unit.kube.objects import pool
from tests.unit.loop.world import World

# The second is the transaction's own settings, the third the reading.
STATEMENTS_OF_A_TICK = ("BEGIN", "SELECT", "WITH", "COMMIT")
USER = "counted"


@pytest.fixture(scope="module")
def counting_server(server) -> Iterator[Server]:
    settings = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "top"}
    with Server(version=server.version, settings=settings) as running:
        apply(running.dsn, roles=True)
        with psycopg.connect(running.dsn, autocommit=True) as admin:
            admin.execute("CREATE EXTENSION pg_stat_statements")
            admin.execute(f"CREATE ROLE {USER} LOGIN IN ROLE jobtide_controller")
        yield running


@pytest.fixture
def admin(counting_server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(counting_server.dsn, autocommit=True) as connection:
        yield connection
        connection.execute("DELETE FROM job_queue")


@pytest.fixture
def world(counting_server, configure, urls) -> Iterator[World]:
    configure(counting_server.url(user=USER))
    database = Database("main", urls, Limits())
    # On a slow machine the seconds between two checks, or between two looks for a view of limits, may pass.
    database._reader._monotonic = database._limits._monotonic = lambda: 0.0
    yield World(source=database)
    database.close()


def backends(admin) -> int:
    return admin.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [USER]).fetchone()[0]


def calls(admin) -> dict[str, int]:
    """By the statement's first word."""
    rows = admin.execute(
        "SELECT substring(regexp_replace(query, '--[^\n]*\n', '', 'g') FROM '\\w+'), sum(calls)::int "
        "FROM pg_stat_statements AS s INNER JOIN pg_roles AS r ON r.oid = s.userid WHERE r.rolname = %s GROUP BY 1",
        [USER],
    )
    return dict(rows.fetchall())


@pytest.mark.parametrize("pools", [1, 100, 10_000])
async def test_a_tick_is_one_connection_and_four_statements_for_any_number_of_pools(world, admin, pools):
    for number in range(pools):
        world.inventory.upsert_pool(pool(f"p{number}"))
    tenant = admin.execute("INSERT INTO tenants (name) VALUES ('t') RETURNING id").fetchone()[0]
    admin.execute(
        "INSERT INTO job_queue (type, tenant_id, payload) SELECT 'p' || i, %s, '{}' FROM generate_series(0, %s) AS i",
        [tenant, min(pools, 50) - 1],
    )
    assert isinstance(await world.source.read(["p0"], {}), Reading), "connected, and the schema is checked"
    await world.tick(times=1 + -(-pools // MOST_POOLS))
    assert not world.terms.current.databases["main"].limits.changed, "the limits of all pools are stored"
    await world.loop._table._looking  # at the table's health: each 30 s, over a connection that lasts for one look
    wait_until("the end of that connection", lambda: backends(admin) == 1)
    admin.execute("SELECT pg_stat_statements_reset()")
    await world.tick()
    assert calls(admin) == dict.fromkeys(STATEMENTS_OF_A_TICK, 1)
    assert backends(admin) == 1
    assert len(world.gauges()) == pools, "and every pool was decided by them"


async def test_the_reading_is_one_row_of_pg_stat_statements_for_all_parameters(world, admin):
    """Lists are parameters: ten thousand types do not fill pg_stat_statements."""
    admin.execute("SELECT pg_stat_statements_reset()")
    for types in (["a"], ["a", "b"], [f"t{number}" for number in range(1000)]):
        assert isinstance(await world.source.read(types, {}), Reading)
    rows = admin.execute("SELECT calls FROM pg_stat_statements WHERE query LIKE '%waiting_key%previous_at%'").fetchall()
    assert rows == [(3,)]
