"""Jobs on the page, on a real table: what a viewer of one namespace finds and may change there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit
from uuid import UUID

import pytest

from jobtide.operate.filters import JobFilter
from jobtide.operate.read import recent_failures
from jobtide.operate.session import operator_connection
from jobtide_controller.api.base import PoolRef
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.page.actions import Action, Actions, Wanted
from jobtide_controller.page.desk import LANES, Desk, Lane
from jobtide_controller.page.failures import EVERY_SECONDS, RecentFailures
from jobtide_controller.page.snapshot import Snapshot
from tests.unit.decide.builders import pool
from tests.unit.kube.objects import Clock
from tests.unit.page.world import EVE, Browser, World, entry, served, snapshot

ENDED = {"done", "stopped", "failed"}
ALL = {"list", "patch", "payloads"}


@dataclass
class Urls:
    text: str

    def names(self) -> list[str]:
        return ["main"]

    def url(self, name: str) -> str:
        del name
        return self.text


@pytest.fixture
async def world(database):
    """The type a is of media alone, b of crm alone, and both handle c; no pool handles d."""
    pools = entry("thumbs", "media", types=["a", "c"]), entry("bills", "crm", types=["b", "c"])
    one = World(snapshot(*pools), urls=Urls(database))
    one.reviews.rights["eve"] = {(verb, "media") for verb in ALL}
    async with served(one):
        yield one


@pytest.fixture
async def alice(world):
    async with Browser(world.base) as one:
        yield await one.login()


@pytest.fixture
async def eve(world):
    async with Browser(world.base) as one:
        yield await one.login("eve-token")


@pytest.fixture
def jobs(connect, tenant):
    """jobs("a", 3, status="failed") -> ids."""
    connection, ours = connect(), tenant("ours")

    def insert(type_: str, count: int = 1, *, status: str = "pending", payload: str = "{}") -> list[str]:
        statement = (
            "INSERT INTO job_queue (tenant_id, type, payload, status) "
            "SELECT %s, %s, %s::jsonb, %s::job_status FROM generate_series(1, %s) RETURNING id"
        )
        rows = connection.execute(statement, [ours, type_, payload, status, count]).fetchall()
        return [str(row[0]) for row in rows]

    return insert


async def act(browser: Browser, **wanted) -> dict:
    status, preview = await browser.post("api/actions/preview", {"database": "main", **wanted})
    assert status == 200, preview
    status, started = await browser.post("api/actions", {"token": preview["token"], "confirm": preview["count"]})
    assert status == 200, started
    while True:
        found = next(one for one in (await browser.get("api/actions"))[1] if one["id"] == started["action"])
        if found["state"] in ENDED:
            return found


async def test_a_viewer_of_one_namespace_finds_its_own_types(eve, alice, jobs):
    own, other, shared, lost = (jobs(type_)[0] for type_ in "abcd")
    assert [job["id"] for job in (await eve.get("api/jobs?database=main"))[1]["jobs"]] == [own]
    for type_ in "bcd":
        assert (await eve.get(f"api/jobs?database=main&type={type_}"))[0] == 403
    for id_, status in ((own, 200), (other, 404), (shared, 404), (lost, 404)):
        assert (await eve.get(f"api/jobs/main/{id_}?payload=1"))[0] == status
        assert (await alice.get(f"api/jobs/main/{id_}?payload=1"))[0] == 200
        found = (await eve.get(f"api/jobs?database=main&id={id_}"))[1]["jobs"]
        assert [job["id"] for job in found] == ([id_] if status == 200 else [])
    assert len((await alice.get("api/jobs?database=main"))[1]["jobs"]) == 4


async def test_a_viewer_of_one_namespace_changes_its_own_types_only(eve, jobs, connect):
    (own, *_), (other,) = jobs("a", 2), jobs("b")
    for wanted in ({"filter": {"type": "b"}}, {"ids": [own, other]}, {"ids": [other]}):
        asked = {"database": "main", "verb": "cancel", **wanted}
        assert (await eve.post("api/actions/preview", asked))[0] == 403
    done = await act(eve, verb="cancel", filter={"type": "a"})
    assert (done["state"], done["done"], done["who"]) == ("done", 2, "eve")
    rows = connect().execute("SELECT type, status::text FROM job_queue ORDER BY 1").fetchall()
    assert rows == [("a", "failed"), ("a", "failed"), ("b", "pending")]


async def test_a_job_that_could_not_be_changed_at_the_preview_is_never_changed(eve, jobs, connect):
    """Its type was not seen then: it may be of another viewer's."""
    (own,), (other,) = jobs("a", status="failed"), jobs("b")
    asked = {"database": "main", "verb": "retry", "ids": [own, other]}
    status, preview = await eve.post("api/actions/preview", asked)
    assert (status, preview["count"]) == (200, 1)
    connect().execute("UPDATE job_queue SET status = 'failed' WHERE id = %s", [other])
    await eve.post("api/actions", {"token": preview["token"], "confirm": 1})
    while (await eve.get("api/actions"))[1][0]["state"] not in ENDED:
        pass
    rows = dict(connect().execute("SELECT type, status::text FROM job_queue").fetchall())
    assert rows == {"a": "pending", "b": "failed"}


async def test_jobs_that_come_after_the_preview_are_not_concerned(alice, jobs, connect):
    jobs("a", 3)
    asked = {"database": "main", "verb": "cancel", "filter": {"type": "a"}}
    _, preview = await alice.post("api/actions/preview", asked)
    jobs("a", 2)
    await alice.post("api/actions", {"token": preview["token"], "confirm": preview["count"]})
    while (await alice.get("api/actions"))[1][0]["state"] not in ENDED:
        pass
    rows = dict(connect().execute("SELECT status::text, count(*) FROM job_queue GROUP BY 1").fetchall())
    assert rows == {"failed": 3, "pending": 2}


async def test_a_preview_is_for_its_own_user_and_for_one_start(alice, eve, jobs):
    jobs("a")
    _, preview = await alice.post(
        "api/actions/preview", {"database": "main", "verb": "cancel", "filter": {"type": "a"}}
    )
    confirm = {"token": preview["token"], "confirm": 1}
    assert (await eve.post("api/actions", confirm))[0] == 409
    for number in (0, True, "1", None):
        assert (await alice.post("api/actions", {**confirm, "confirm": number}))[0] == 409
    assert (await alice.post("api/actions", confirm))[0] == 200
    assert (await alice.post("api/actions", confirm))[0] == 409
    assert [one["who"] for one in (await eve.get("api/actions"))[1]] == []


async def test_a_list_goes_through_a_bulk_insert_page_by_page(alice, jobs):
    inserted = set(jobs("a", 130))
    found, after = [], ""
    while after is not None:
        _, page = await alice.get(f"api/jobs?database=main&limit=50&after={quote(after)}")
        found += [job["id"] for job in page["jobs"]]
        after = page["next"]
    assert len(found) == 130
    assert set(found) == inserted


async def test_numbers_of_a_payload_stay_exact(alice, jobs):
    (id_,) = jobs("a", payload='{"n": 12345678901234567890.123456789012345678901}')
    async with alice.session.get(f"{alice.base}api/jobs/main/{id_}?payload=1") as answer:
        text = await answer.text()
    assert "12345678901234567890.123456789012345678901" in text
    assert json.loads(text)["payload_hidden"] is False
    assert (await alice.get(f"api/jobs/main/{id_}"))[1]["payload"] is None


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("status=odd", "there is no such status"),
        ("since=yesterday", "it is no time"),
        ("tenant=7", "it is no UUID"),
        ("limit=0", "limit is no number of jobs"),
        ("after=7", "after is none of the cursors"),
    ],
)
async def test_a_filter_that_makes_no_sense_says_what_to_write(alice, query, word):
    status, document = await alice.get(f"api/jobs?database=main&{query}")
    assert status == 400
    assert word in document["error"]["message"]
    assert "--" not in str(document)


async def test_an_error_of_the_database_shows_no_credential(world, alice, database):
    world.urls.text = urlsplit(database)._replace(netloc="operator:sesame@127.0.0.1:1").geturl()
    status, document = await alice.get("api/jobs?database=main&type=a")
    assert status == 502
    assert "sesame" not in str(document)


async def test_an_action_and_a_withdrawn_right(world, eve, jobs, connect):
    jobs("a")
    _, preview = await eve.post("api/actions/preview", {"database": "main", "verb": "cancel", "filter": {"type": "a"}})
    world.reviews.rights["eve"] = {("list", "media")}
    assert (await eve.post("api/actions", {"token": preview["token"], "confirm": 1}))[0] == 403
    assert connect().execute("SELECT status::text FROM job_queue").fetchall() == [("pending",)]


async def shows(world: World, browser: Browser, new: Snapshot) -> None:
    """Waits until the page has looked at it."""
    world.snapshot = replace(new, taken_at=world.snapshot.taken_at + 1)
    seen = world.taken
    while world.taken < seen + 2:
        await browser.get("api/overview")


async def test_a_pool_elsewhere_that_takes_the_type_ends_the_right_to_it(world, eve, jobs):
    jobs("a")
    _, preview = await eve.post("api/actions/preview", {"database": "main", "verb": "cancel", "filter": {"type": "a"}})
    confirm = {"token": preview["token"], "confirm": 1}
    await shows(world, eve, snapshot(entry("thumbs", "media", types=["a"]), entry("new", "crm", types=["a"])))
    assert (await eve.post("api/actions", confirm))[0] == 403


async def test_many_viewers_share_few_connections(alice, jobs, connect):
    jobs("a", 5)
    answers = await asyncio.gather(*(alice.get("api/jobs?database=main&type=a") for _ in range(30)))
    assert {status for status, _ in answers} == {200}
    statement = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobtide jobs' AND datname = current_database()"
    )
    assert connect().execute(statement).fetchone()[0] <= LANES


async def test_a_tenant_has_the_failed_jobs_of_the_last_hour(alice, eve, jobs, connect):
    """Those created in it; of the types that the viewer may see."""
    jobs("a", 2, status="failed"), jobs("b", status="failed"), jobs("a", status="completed")
    (old,) = jobs("a", status="failed")
    connect().execute("UPDATE job_queue SET created_at = now() - interval '61 minutes' WHERE id = %s", [old])
    ours = str(connect().execute("SELECT tenant_id FROM job_queue LIMIT 1").fetchone()[0])
    for viewer, expected in ((alice, 3), (eve, 2)):
        _, document = await viewer.get("api/tenants?database=main")
        found = {row["tenant"]: (row["failed_last_hour"], row["failed_capped"]) for row in document["rows"]}
        assert found[ours] == (expected, False)
        row = (await viewer.get(f"api/tenants/main/{ours}"))[1]["row"]
        assert row["failed_last_hour"] == expected
    jobs("a", status="failed")
    assert (await alice.get(f"api/tenants/main/{ours}"))[1]["row"]["failed_last_hour"] == 3  # one reading in 30 s


async def test_failures_are_unknown_and_not_zero_where_the_database_is_away(world, alice, database):
    world.urls.text = urlsplit(database)._replace(netloc="operator@127.0.0.1:1").geturl()
    _, document = await alice.get("api/tenants?database=main")
    assert {row["failed_last_hour"] for row in document["rows"]} == {None}


def test_more_failures_than_are_looked_at_are_a_lower_bound(jobs, database):
    jobs("a", 5, status="failed")
    with operator_connection(database) as connection:
        found = recent_failures(connection, look=3)
        assert (list(found.by_tenant(lambda type_: type_ == "a").values()), found.capped) == ([3], True)
        assert found.by_tenant(lambda type_: type_ == "b") == {}
        assert not recent_failures(connection, look=6).capped


def test_a_long_type_is_counted_as_no_type_that_a_pool_may_have(jobs, database):
    longest = "a" * 200
    jobs(longest + "b", status="failed")
    with operator_connection(database) as connection:
        assert recent_failures(connection).by_tenant(lambda type_: type_ == longest) == {}


async def test_a_pool_that_may_not_use_the_database_serves_no_job(world, alice, jobs):
    refused = PoolEntry("crm/late", PoolRef("crm", "late"), pool("late", types=["d"]), 1, None, not_allowed="not crm")
    world.snapshot = snapshot(*world.snapshot.pools, refused, at=world.snapshot.taken_at + 1)
    (id_,) = jobs("d")
    while (await alice.get("api/overview"))[1]["pools_total"] < 3:
        pass
    assert "UnservedType" in (await alice.get(f"api/jobs/main/{id_}"))[1]["why"]["codes"]


async def test_all_viewers_share_one_reading_of_the_failures_in_half_a_minute(database, jobs):
    clock, desk = Clock(), Desk(Urls(database))
    recent = RecentFailures(desk, monotonic=clock)
    jobs("a", status="failed")
    try:
        first, *others = await asyncio.gather(*(recent.of("main") for _ in range(20)))
        assert all(other is first for other in others)
        jobs("a", status="failed")
        clock.now += EVERY_SECONDS - 1
        assert await recent.of("main") is first
        clock.now += 1
        assert sum((await recent.of("main")).counts.values()) == 2
        assert await recent.of("other") is None
    finally:
        desk.close()


async def test_a_type_that_begins_as_an_allowed_one_is_another_type(world, eve, jobs):
    """A pool's type has 200 characters at most, the column has no limit."""
    allowed = "x" * 200
    await shows(world, eve, snapshot(entry("thumbs", "media", types=[allowed]), entry("bills", "crm", types=["b"])))
    (own,), (other,) = jobs(allowed), jobs(allowed + "y", payload='{"secret": 1}')
    assert (await eve.get(f"api/jobs/main/{own}?payload=1"))[0] == 200
    assert (await eve.get(f"api/jobs/main/{other}?payload=1"))[0] == 404
    asked = {"database": "main", "verb": "cancel", "ids": [other]}
    assert (await eve.post("api/actions/preview", asked))[0] == 403


async def test_jobs_that_fail_after_the_preview_are_not_retried(alice, jobs, connect):
    """The user confirmed a number: it does not grow."""
    (first,), later = jobs("a", status="failed"), jobs("a", 50)
    connect().execute("UPDATE job_queue SET completed_at = now() WHERE id = %s", [first])
    asked = {"database": "main", "verb": "retry", "filter": {"type": "a"}}
    _, preview = await alice.post("api/actions/preview", asked)
    assert preview["count"] == 1
    connect().execute("UPDATE job_queue SET status = 'failed', completed_at = now() WHERE id = ANY(%s)", [later])
    await alice.post("api/actions", {"token": preview["token"], "confirm": 1})
    while (await alice.get("api/actions"))[1][0]["state"] not in ENDED:
        pass
    rows = dict(connect().execute("SELECT status::text, count(*) FROM job_queue GROUP BY 1").fetchall())
    assert rows == {"pending": 1, "failed": 50}


@asynccontextmanager
async def running(browser: Browser, jobs, connect) -> AsyncIterator[str]:
    """An action that waits for a lock, and has more batches to come; until the context ends."""
    jobs("a", 1_200, status="failed")
    with connect(autocommit=False) as other:
        _, preview = await browser.post(
            "api/actions/preview",
            {"database": "main", "verb": "retry", "filter": {"type": "a"}},
        )
        other.execute("LOCK TABLE job_queue IN SHARE MODE")
        _, started = await browser.post("api/actions", {"token": preview["token"], "confirm": preview["count"]})
        yield started["action"]


async def ended(browser: Browser, id_: str) -> dict:
    while True:
        _, listed = await browser.get("api/actions")
        found = next(one for one in listed if one["id"] == id_)
        if found["state"] in ENDED:
            return found


async def test_an_action_ends_with_the_lease(world, alice, jobs, connect):
    """No page shows it any more, so no user could stop it."""
    leading = world.snapshot
    async with running(alice, jobs, connect) as id_:
        await shows(world, alice, replace(leading, leads=False, databases={}))
    await shows(world, alice, leading)
    found = await ended(alice, id_)
    assert (found["state"], found["done"] <= 500) == ("stopped", True)


async def test_a_user_can_stop_an_own_action_while_the_api_server_is_away(world, alice, jobs, connect):
    async with running(alice, jobs, connect) as id_:
        world.reviews.is_down = True
        assert (await alice.post(f"api/actions/{id_}/stop", {}))[0] == 200
        world.reviews.is_down = False
    assert (await ended(alice, id_))["state"] == "stopped"


async def test_a_user_who_logs_in_with_another_token_can_stop_an_own_action(world, eve, jobs, connect):
    """The API server names the token's id beside the user."""
    world.reviews.tokens["eve-token-2"] = EVE._replace(extra=(("authentication.kubernetes.io/credential-id", ("2",)),))
    async with running(eve, jobs, connect) as id_, Browser(world.base) as again:
        await again.login("eve-token-2")
        assert [one["id"] for one in (await again.get("api/actions"))[1]] == [id_]
        assert (await again.post(f"api/actions/{id_}/stop", {}))[0] == 200
    assert (await ended(eve, id_))["state"] == "stopped"


async def test_the_log_keeps_what_runs(database, jobs, connect):
    """An action that it has no more could not be stopped."""
    desk, reported = Desk(Urls(database)), asyncio.Queue()
    actions = Actions(desk, reported.put_nowait, kept=2)

    async def start(**which) -> Action:
        wanted = Wanted.of_filter("main", "retry", JobFilter(**which))
        preview = await actions.preview(EVE, wanted, lambda found: found)
        return actions.start(EVE, preview["token"])

    jobs("a", 1, status="failed")
    with connect(autocommit=False) as other:
        other.execute("LOCK TABLE job_queue IN SHARE MODE")
        long = await start(type="a")
        for _ in range(3):
            short = await start(type="b")
            assert await reported.get() is short
        assert actions.get(long.id) is long
        assert len(actions.seen(lambda action: True)) == 2
        actions.stop_all()
    assert await reported.get() is long
    desk.close()


@pytest.mark.parametrize("column", ["payload", "result"])
async def test_json_that_is_nested_too_deeply_for_a_browser_is_left_out(alice, jobs, connect, column):
    (id_,) = jobs("a")
    for levels, shown in ((99, True), (5_000, False)):
        deep = "[" * levels + "]" * levels
        connect().execute(f"UPDATE job_queue SET {column} = %s::jsonb WHERE id = %s", [deep, id_])
        async with alice.session.get(f"{alice.base}api/jobs/main/{id_}?payload=1") as answer:
            assert answer.status == 200
            assert (deep in await answer.text()) == shown


async def test_tenants_that_the_administrator_hides_are_shown_with_the_jobs_only(world, eve):
    """A user who may create pools in one namespace could else name another one's types there."""
    pools = entry("thumbs", "media", types=["a", "b"]), entry("bills", "crm", types=["b"])
    await shows(world, eve, snapshot(*pools, shows_tenants=False))
    _, document = await eve.get("api/pools/media/thumbs?by=tenant")
    assert (document["by_tenant"], document["series"]) == ([], None)
    _, found = await eve.get(f"api/tenants/main/{UUID(int=0)}")
    assert {part["type"] for part in found["parts"]} <= {"a"}


async def test_a_server_that_vanishes_is_noticed(database):
    """Else the page waits for its answer for as long as the kernel does: two hours."""
    lane = Lane("main", lambda: database)
    options = await lane.call(lambda connection: connection.info.get_parameters())
    lane.close()
    assert (options["keepalives_idle"], options["tcp_user_timeout"]) == ("10", "15000")


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59.999999+14:00", "0001-01-01T00:00:00+14:00"])
async def test_a_cursor_outside_of_time_is_no_bug(alice, at):
    assert (await alice.get(f"api/jobs?database=main&after={quote(at)}"))[0] in {200, 400}


async def test_a_job_tells_the_stored_limit_of_its_tenant(alice, jobs, connect):
    """It is the database's, so no status and no reading has to name the tenant."""
    (id_,) = jobs("a")
    connect().execute("INSERT INTO jobtide_pool_limits (pool) VALUES ('media/thumbs'), ('')")
    connect().execute(
        "INSERT INTO jobtide_tenant_limits (pool, tenant_id, max_concurrent) SELECT '', tenant_id, 0 FROM job_queue"
    )
    (_, found) = await alice.get(f"api/jobs/main/{id_}")
    assert "Its tenant is paused: its limit is 0." in found["why"]["causes"]
