"""Who gets in, and what a page of another site can't do: over a real server on loopback."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
import weakref
from dataclasses import replace

import aiohttp
import pytest

from jobtide_controller.page import guard, sessions, viewer
from jobtide_controller.page.access import AT_ONCE, REMEMBERED_SECONDS, Access
from jobtide_controller.page.action_views import ActionViews
from jobtide_controller.page.actions import Actions
from jobtide_controller.page.events import VIEWERS_MAX, VIEWERS_OF_ONE
from jobtide_controller.page.feed import Published
from jobtide_controller.page.rights import Rights, User
from jobtide_controller.page.server import Place
from jobtide_controller.page.sessions import FAILURES_MAX, FAILURES_OF_PEER, Sessions, Throttle
from tests.unit.kube.objects import Clock
from tests.unit.page.world import ALICE, EVE, Browser, Reviews, World, entry, eventually, names, served, snapshot

GETS = ("api/me", "api/overview", "api/pools/media/thumbs", "api/events", "api/tenants?database=main",
        "api/tenants/main/t1", "api/jobs?database=main", "api/jobs/main/x", "api/actions")  # fmt: skip
POSTS = ("api/logout", "api/actions/preview", "api/actions", "api/actions/x/stop")


@pytest.mark.parametrize("path", GETS)
async def test_nothing_is_shown_without_a_login(browser, path):
    status, document = await browser.get(path)
    assert (status, document["error"]["status"]) == (401, 401)


@pytest.mark.parametrize("path", POSTS)
async def test_nothing_is_changed_without_a_login(browser, path):
    assert (await browser.post(path, {}))[0] == 401


@pytest.mark.parametrize("path", POSTS)
async def test_a_post_needs_the_sessions_own_value(browser, path):
    await browser.login()
    for csrf in ("", "wrong", "é"):
        browser.csrf = csrf
        assert (await browser.post(path, {}))[0] == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Sec_Fetch_Site": "cross-site"}, 403, id="cross-site"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, 403, id="sibling"),
        pytest.param({"Sec_Fetch_Site": "none"}, 200, id="typed"),
        pytest.param({"Sec_Fetch_Site": "same-origin", "Origin": "https://jobtide.example"}, 200, id="behind-a-proxy"),
    ],
)
async def test_a_login_that_another_site_sends_is_refused(browser, headers, status):
    assert (await browser.post("api/login", {"token": "alice-token"}, **headers))[0] == status


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), ("http://{host}", 200), (None, 200)]
)
async def test_without_fetch_metadata_the_origin_decides(world, browser, origin, status):
    headers = {} if origin is None else {"Origin": origin.format(host=f"127.0.0.1:{world.port}")}
    async with browser.session.post(f"{world.base}api/login", json={"token": "alice-token"}, headers=headers) as answer:
        assert answer.status == status


async def test_a_form_of_another_site_is_no_login(world, browser):
    async with browser.session.post(f"{world.base}api/login", data={"token": "alice-token"}) as answer:
        assert answer.status == 415


async def test_the_cookie_is_for_the_browser_alone(world, browser):
    async with browser.session.post(f"{world.base}api/login", json={"token": "alice-token"}) as answer:
        cookie = answer.headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in cookie
    assert "Secure" not in cookie
    https = {"X-Forwarded-Proto": "https"}
    async with browser.session.post(f"{world.base}api/login", json={"token": "alice-token"}, headers=https) as answer:
        assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    "path", ["", "index.html", "nothing.js", "api/me", "api/nothing", "../pyproject.toml", "%2e%2e/x"]
)
async def test_every_answer_has_the_headers(world, browser, path):
    async with browser.session.get(f"{world.base}api/overview") as answer:
        for name, value in guard.HEADERS.items():
            if name != "Cache-Control":
                assert answer.headers[name] == value
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_the_documents_are_never_stored_by_a_cache(browser):
    await browser.login()
    async with browser.session.get(f"{browser.base}api/overview") as answer:
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_method_that_a_path_does_not_have_is_refused(world, browser):
    async with browser.session.delete(f"{world.base}api/me") as answer:
        assert answer.status == 405


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost.evil.example:{port}", ""]
)
async def test_dev_answers_to_no_name_of_another_host(host):
    world = World(snapshot(entry()), place=Place(0, "127.0.0.1", mode="dev"))
    async with served(world), Browser(world.base) as browser:
        assert (await browser.get(Host=host.format(port=world.port)))[0] == 421
        assert (await browser.get(Host=f"localhost:{world.port}"))[0] == 200
        assert (await browser.get())[0] == 200


async def test_the_page_works_under_a_path():
    world = World(snapshot(entry()), place=Place(0, "127.0.0.1", path="/ops/jobtide"))
    async with served(world), Browser(world.base) as browser:
        async with browser.session.get(world.base[:-1], allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (308, "/ops/jobtide/")
        assert (await browser.get())[0] == 200
        await browser.login()
        assert (await browser.get("api/overview"))[0] == 200
        (cookie,) = browser.session.cookie_jar
        assert cookie["path"] == "/ops/jobtide"
        async with browser.session.get(f"http://127.0.0.1:{world.port}/api/overview") as answer:
            assert answer.status == 404


async def test_two_pages_on_one_host_share_no_cookie():
    first, second = World(snapshot(entry())), World(snapshot(entry()))
    async with served(first), served(second), Browser(first.base) as browser:
        await browser.login()
        browser.base = second.base
        assert (await browser.get("api/me"))[0] == 401
        await browser.login()
        browser.base = first.base
        assert (await browser.get("api/me"))[0] == 200


async def test_a_peer_that_guesses_must_wait_and_asks_the_api_server_no_more(world, browser):
    for _ in range(FAILURES_MAX):
        assert (await browser.post("api/login", {"token": "guess"}))[0] == 401
    status, document = await browser.post("api/login", {"token": "alice-token"})
    assert status == 429
    assert document["error"]["fix"].startswith("try again in ")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"token": 1}, 400, id="number"),
        pytest.param({}, 400, id="nothing"),
        pytest.param([], 400, id="list"),
        pytest.param({"token": "x" * (viewer.TOKEN_CHARACTERS + 1)}, 400, id="long"),
        pytest.param({"token": "x" * 100_000}, 413, id="larger-than-a-body-may-be"),
        pytest.param({"token": "é\x00"}, 401, id="odd-characters"),
    ],
)
async def test_a_login_of_another_form_is_refused(browser, body, status):
    assert (await browser.post("api/login", body))[0] == status


async def test_deep_json_is_refused(world, browser):
    headers = {"Content-Type": "application/json"}
    async with browser.session.post(f"{world.base}api/login", data="[" * 60_000, headers=headers) as answer:
        assert answer.status == 400


async def test_an_api_server_that_is_away_is_no_permission(world, browser):
    world.reviews.is_down = True
    assert (await browser.post("api/login", {"token": "alice-token"}))[0] == 503
    world.reviews.is_down = False
    await browser.login()
    world.reviews.is_down = True
    status, document = await browser.get("api/overview")
    assert status == 503
    assert "the API server is away" in document["error"]["message"]


async def test_logout_ends_the_session(browser):
    await browser.login()
    assert (await browser.post("api/logout", {}))[0] == 200
    assert (await browser.get("api/me"))[0] == 401


async def test_a_ticket_is_for_one_login(world, browser):
    status, found = await browser.post("api/tickets", {"token": "alice-token"})
    assert (status, found["user"]) == (200, "alice")
    await browser.login(found["ticket"])
    assert (await browser.get("api/me"))[1]["user"] == "alice"
    assert (await browser.post("api/login", {"token": found["ticket"]}))[0] == 401


async def test_a_viewer_sees_the_pools_of_its_namespaces_only(world):
    world.reviews.rights["eve"] = {("list", "crm"), ("patch", "media")}
    async with Browser(world.base) as browser:
        await browser.login("eve-token")
        _, overview = await browser.get("api/overview")
        assert names(overview) == ["bills"]
        assert overview["pools"][0]["may"] == {"act": False, "payloads": False}
        assert (await browser.get("api/pools/crm/bills"))[0] == 200
        assert (await browser.get("api/pools/media/thumbs"))[0] == 404
        async for name, document in browser.events("?pool=media/thumbs"):
            assert name != "pool"
            if name == "overview":
                assert names(document) == ["bills"]
                break


async def test_a_user_without_rights_sees_nothing(world):
    async with Browser(world.base) as browser:
        await browser.login("eve-token")
        _, overview = await browser.get("api/overview")
        assert (overview["pools"], overview["databases"]) == ([], [])


async def test_an_action_needs_the_right_to_patch(world, browser):
    world.reviews.rights["alice"] = {("list", "")}
    await browser.login()
    wanted = {"database": "main", "verb": "cancel", "filter": {"type": "a"}}
    assert (await browser.post("api/actions/preview", wanted))[0] == 403


async def test_without_an_operators_url_jobs_say_how_to_add_one(browser):
    await browser.login()
    _, overview = await browser.get("api/overview")
    assert overview["databases"][0]["jobs"] == "no operator URL"
    status, document = await browser.get("api/jobs?database=main&type=a")
    assert status == 404
    assert "operatorSecretName" in document["error"]["fix"]


async def test_rights_are_asked_for_once_and_again_after_some_seconds():
    clock, reviews = Clock(), Reviews()
    access = Access(reviews, clock)
    namespaces = frozenset({"media", "crm"})
    first = await access.rights(ALICE, namespaces)
    assert await access.rights(ALICE, namespaces) is first
    assert len(reviews.asked) == 3
    reviews.rights["alice"] = {("list", "crm")}
    assert (await access.rights_now(ALICE, namespaces)).sees == {"crm"}
    clock.now += REMEMBERED_SECONDS + 1
    rights = await access.rights(ALICE, namespaces)
    assert (rights.sees, rights.acts, rights.payloads) == ({"crm"}, frozenset(), frozenset())


async def test_a_user_without_rights_is_asked_about_once_a_namespace_and_a_minute():
    clock, reviews = Clock(), Reviews()
    access = Access(reviews, clock)
    namespaces = frozenset(f"ns-{number}" for number in range(100))
    for _ in range(4):
        assert (await access.rights(EVE, namespaces)).sees == frozenset()
        clock.now += REMEMBERED_SECONDS - 1
    assert len(reviews.asked) == 101  # and everywhere


async def test_two_hundred_pages_of_one_user_ask_once():
    reviews = Reviews()
    access = Access(reviews, Clock())
    await asyncio.gather(*(access.rights(ALICE, frozenset({"media"})) for _ in range(200)))
    assert len(reviews.asked) == 3


def test_sessions_and_tickets_end():
    clock = Clock()
    kept = Sessions(clock)
    key, _ = kept.begin(ALICE)
    ticket = kept.new_ticket(ALICE)
    clock.now += sessions.TICKET_SECONDS
    assert kept.redeem(ticket) is None
    clock.now += sessions.IDLE_SECONDS - sessions.TICKET_SECONDS - 1
    assert kept.get(key) is not None
    clock.now += sessions.IDLE_SECONDS
    assert kept.get(key) is None
    key, _ = kept.begin(ALICE)
    for _ in range(int(sessions.SESSION_SECONDS / 60)):
        assert kept.get(key) is not None
        clock.now += 60
    assert kept.get(key) is None


def test_sessions_are_bounded():
    kept = Sessions(Clock())
    first, _ = kept.begin(ALICE)
    keys = [kept.begin(User(f"user-{number}"))[0] for number in range(sessions.SESSIONS_MAX)]
    assert kept.get(first) is None
    assert kept.get(keys[0]) is not None


def test_the_throttle_lets_other_peers_in_and_forgets():
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(FAILURES_MAX):
        throttle.note_attempt("mallory")
    assert throttle.wait_seconds("mallory") > 0
    assert throttle.wait_seconds("alice") == 0
    throttle.note_success("mallory")
    assert throttle.wait_seconds("mallory") == 0
    throttle.note_attempt("mallory")
    clock.now += sessions.FAILURE_SECONDS
    assert throttle.wait_seconds("mallory") == 0


async def test_a_follower_says_who_leads(world, browser):
    await browser.login()
    world.snapshot = snapshot(entry(), leads=False)
    stream = browser.events()
    hello = await eventually(stream, "hello")
    while hello["leader"]:
        hello = await eventually(stream, "hello")
    await stream.aclose()
    assert hello["leader_name"] == "pod-1"
    status, document = await browser.get("api/overview")
    assert (status, document["error"]["message"]) == (503, "this controller waits: pod pod-1 leads")
    assert await browser.get("api/leader") == (200, {"leader": False, "leader_name": "pod-1"})


async def test_a_stream_ends_with_its_session(world, browser):
    await browser.login()
    stream = browser.events()
    assert (await eventually(stream, "overview"))["pools"]
    await browser.post("api/logout", {})
    world.snapshot = replace(world.snapshot, taken_at=world.snapshot.taken_at + 1)
    with pytest.raises((AssertionError, aiohttp.ClientError)):
        await eventually(stream, "nothing that comes before the end")


async def test_one_look_serves_all_viewers(world, browser):
    await browser.login()
    streams = [browser.events() for _ in range(50)]
    before = world.taken
    shown = await asyncio.gather(*(eventually(stream, "overview") for stream in streams))
    assert [names(document) for document in shown] == [["thumbs", "bills"]] * 50
    assert world.taken - before <= 3
    assert len(world.reviews.asked) == 3
    for stream in streams:
        await stream.aclose()


async def test_a_viewer_that_leaves_is_no_bug(world, browser, caplog):
    await browser.login()
    cookie = "; ".join(f"{one.key}={one.value}" for one in browser.session.cookie_jar)
    request = f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\nCookie: {cookie}\r\n\r\n".encode()
    for number in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(request)
        await writer.drain()
        if number % 2:
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.transport.abort()
    stream = browser.events()  # some looks later, all of them were found to be gone
    for number in range(3):
        world.snapshot = snapshot(entry("thumbs", "media", maxReplicas=20 + number), at=world.snapshot.taken_at + 1)
        await eventually(stream, "overview")
    await stream.aclose()
    assert [record.message for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


async def test_a_page_that_closes_during_an_event_is_no_bug(caplog):
    """The event is larger than what the kernel holds for a reader that does not read, so the server waits in it."""
    entries = [entry(f"pool-{number}", "media", types=[f"t{number}" + "x" * 180]) for number in range(5_000)]
    world = World(snapshot(*entries))
    async with served(world), Browser(world.base) as browser:
        await browser.login()
        cookie = "; ".join(f"{one.key}={one.value}" for one in browser.session.cookie_jar)
        request = f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\nCookie: {cookie}\r\n\r\n".encode()
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1024)
            writer.write(request)
            while b"event: overview" not in await reader.readline():
                pass
            writer.transport.abort()
        world.snapshot = snapshot(entry(), at=world.snapshot.taken_at + 1)
        while (await browser.get("api/overview"))[1]["pools_total"] > 1:
            pass
        stream = browser.events()
        await eventually(stream, "overview")
        await stream.aclose()
    assert [record.message for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


@pytest.mark.parametrize("length", [0, 5])
async def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_bug(world, browser, caplog, length):
    head = (
        f"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(head.encode() + b" " * length)
        await writer.drain()
        await browser.get("api/leader")  # the server has read the request before this one
        writer.transport.abort()
    await browser.login()
    assert [record.message for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


async def test_a_user_without_rights_does_not_delay_others():
    begun = asyncio.Event()

    class Slow(Reviews):
        async def is_allowed(self, user, verb, namespace):
            answer = await super().is_allowed(user, verb, namespace)
            if namespace:
                begun.set()
            await asyncio.sleep(0)
            return answer

    reviews = Slow()
    access = Access(reviews, Clock())
    namespaces = frozenset(f"ns-{number}" for number in range(1_000))
    eve = asyncio.create_task(access.rights(EVE, namespaces))
    await begun.wait()
    assert (await access.rights(ALICE, namespaces)).acts == namespaces
    assert len([name for name, *_ in reviews.asked if name == "eve"]) < 5 * AT_ONCE
    assert (await eve).sees == frozenset()


async def test_namespaces_that_come_and_go_leave_nothing_in_memory():
    access = Access(Reviews(), Clock())
    tracemalloc.start()
    try:
        for number in range(300):
            namespaces = frozenset(f"ns-{other}" for other in range(number, number + 2_000))
            assert (await access.rights(ALICE, namespaces)).sees == namespaces
        del namespaces
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 2_000_000


def test_a_user_with_many_sessions_and_tickets_ends_no_other_users():
    kept = Sessions(Clock())
    key, ticket = kept.begin(ALICE)[0], kept.new_ticket(ALICE)
    for _ in range(sessions.SESSIONS_MAX):
        kept.begin(EVE)
        kept.new_ticket(EVE)
    assert kept.get(key) is not None
    assert kept.redeem(ticket) == ALICE


async def test_logins_whose_bodies_come_late_are_counted(world, browser):
    """The limit holds for requests that were begun at the same time."""
    body = b'{"token": "guess"}'
    head = (
        f"POST /api/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode()
    streams = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(3 * FAILURES_MAX)]
    for _, writer in streams:
        writer.write(head)
    for _ in range(20):  # the server has read these heads once it has answered others
        assert (await browser.get("api/leader"))[0] == 200
    for _, writer in streams:
        writer.write(body)
    statuses = [(await reader.readline()).split()[1] for reader, _ in streams]
    for _, writer in streams:
        writer.close()
    assert statuses.count(b"401") == FAILURES_MAX


async def test_a_stop_of_no_action_asks_the_api_server_nothing(world, browser):
    await browser.login()
    await browser.get("api/overview")
    before = len(world.reviews.asked)
    for _ in range(10):
        assert (await browser.post("api/actions/x/stop", {}))[0] == 404
    assert len(world.reviews.asked) == before


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["Content-Type: application/json; charset=nope", "Content-Length: 2", "", "{}"], id="charset"),
        pytest.param(
            ["Content-Type: application/json", "Content-Encoding: gzip", "Content-Length: 2", "", "{}"], id="encoding"
        ),
        pytest.param(
            ["Content-Type: application/json", "Transfer-Encoding: chunked", "", "2", "{}", "zz", ""], id="chunk"
        ),
    ],
)
async def test_a_stranger_writes_nothing_into_the_log(world, lines, caplog):
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write("\r\n".join(["POST /api/login HTTP/1.1", "Host: x", "Connection: close", *lines]).encode())
    async with asyncio.timeout(10):
        status = (await reader.readline()).split()[1]
        await reader.read()
    writer.close()
    assert status == b"400"
    assert caplog.records == []


async def test_a_user_with_many_streams_leaves_room_for_others(world, browser):
    world.reviews.rights["eve"] = set()
    async with Browser(world.base) as other:
        await other.login("eve-token")
        cookie = "; ".join(f"{one.key}={one.value}" for one in other.session.cookie_jar)
    streams = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(VIEWERS_MAX)]
    for _, writer in streams:
        writer.write(f"GET /api/events HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n".encode())
    statuses = [(await reader.readline()).split()[1] for reader, _ in streams]
    assert statuses.count(b"200") == VIEWERS_OF_ONE
    await browser.login()
    stream = browser.events()
    assert (await eventually(stream, "overview"))["pools"]
    await stream.aclose()
    for _, writer in streams:
        writer.close()


async def test_the_log_of_actions_is_kept_for_those_who_look_only(world):
    """Rights change with every namespace that comes or goes; each has a rendering of its own."""
    views = ActionViews(viewers=None, views=None, actions=Actions(desk=None, report=print))
    seen = []
    for number in range(100):
        rights = Rights(frozenset({f"ns-{number}"}))
        published = Published(number, world.snapshot, {}, rights.sees)
        message = views.message(ALICE, published, rights)
        assert views.message(ALICE, published, rights) is message
        seen.append(weakref.ref(rights.sees))
        del rights, message, published
    gc.collect()
    assert sum(one() is not None for one in seen) <= 2


async def test_a_guesser_behind_a_proxy_locks_out_that_address_only(world, browser):
    for _ in range(FAILURES_MAX):
        await browser.post("api/login", {"token": "guess"}, X_Forwarded_For="alice, mallory")
    for who, status in (("mallory", 429), ("alice", 200)):
        assert (await browser.post("api/login", {"token": "alice-token"}, X_Forwarded_For=who))[0] == status


async def test_a_guesser_who_invents_addresses_must_wait_too(world, browser):
    for number in range(FAILURES_OF_PEER):
        assert (await browser.post("api/login", {"token": "guess"}, X_Forwarded_For=str(number)))[0] == 401
    assert (await browser.post("api/login", {"token": "guess"}, X_Forwarded_For="another"))[0] == 429


async def test_a_viewer_who_asks_again_and_again_costs_little():
    """The page's thread shares the interpreter with the controller's."""
    world = World(snapshot(*[entry(f"pool-{number}", types=[f"type-{number}"]) for number in range(5_000)]))

    async def cost(requests: int) -> float:
        """Processor time of the process."""
        began = time.process_time()
        for _ in range(requests):
            async with browser.session.get(f"{world.base}api/overview") as answer:
                assert answer.status == 200
        return time.process_time() - began

    async with served(world), Browser(world.base) as browser:
        await browser.login()
        first = await cost(1)
        assert await cost(40) < 4 * first
