"""The page as a cluster serves it: with a login and a logout, behind a proxy, and while another controller leads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.sync_api import Page, expect

from jobtide_controller.page.server import Place
from tests.browser.conftest import visit
from tests.unit.page.world import World, entry, served, snapshot

HOP_BY_HOP = {"transfer-encoding", "content-length", "connection", "keep-alive", "date", "server", "content-encoding"}


@contextmanager
def running(world: World) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Serves the world's page from an event loop in a thread; yields how to run a coroutine there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    page = served(world)
    run(page.__aenter__())
    try:
        yield run
    finally:
        run(page.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def proxy(upstream: str, prefix: str) -> web.Application:
    """A reverse proxy that sends what is below `prefix` to `upstream`, and streams the answers."""

    async def forward(request: web.Request) -> web.StreamResponse:
        if not request.path.startswith(prefix + "/"):
            raise web.HTTPNotFound
        url = upstream + request.path_qs.removeprefix(prefix + "/")
        body = await request.read()
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, url, headers=request.headers, data=body, allow_redirects=False) as found,
        ):
            headers = [(name, value) for name, value in found.headers.items() if name.lower() not in HOP_BY_HOP]
            answer = web.StreamResponse(status=found.status)
            answer.headers.extend(headers)
            try:
                await answer.prepare(request)
                async for chunk in found.content.iter_any():
                    await answer.write(chunk)
            except (ConnectionError, aiohttp.ClientPayloadError):  # the browser or the page has closed the stream
                pass
            return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    return app


def log_in(page: Page) -> None:
    page.get_by_label("Token").fill("alice-token")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


@pytest.fixture
def opened(open_page, allow) -> Callable[[str], Page]:
    """opened(url) -> the login, logged in."""
    allow(401)

    def opened(url: str) -> Page:
        page = open_page(url=url, title="")
        log_in(page)
        return page

    return opened


@pytest.mark.parametrize(
    "path", [pytest.param("", id="removed by the proxy"), pytest.param("/ops/jobtide", id="kept by the proxy")]
)
def test_every_screen_works_under_a_path(opened, path):
    prefix = "/ops/jobtide"
    world = World(snapshot(entry()), place=Place(0, "127.0.0.1", path=path))
    with running(world) as run:
        runner = web.AppRunner(proxy(world.base, prefix), shutdown_timeout=0.1)

        async def serve() -> int:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port: int = runner.addresses[0][1]
            return port

        port = run(serve())
        try:
            page = opened(f"http://127.0.0.1:{port}{prefix}/")
            page.get_by_role("link", name="media/thumbs", exact=True).click()
            expect(page.get_by_role("heading", level=1)).to_contain_text("thumbs")
            world.snapshot = snapshot(entry(maxReplicas=77), at=world.snapshot.taken_at + 1)
            expect(page.locator("main")).to_contain_text("77")  # it came through the stream
            for screen in ("Tenants", "Jobs", "Actions", "Overview"):
                page.get_by_role("navigation").get_by_role("link", name=screen).click()
                expect(page.get_by_role("heading", level=1)).to_have_text(screen)
            page.reload()
            expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        finally:
            run(runner.cleanup())


def test_a_logout_leads_to_the_login_and_ends_the_session(opened):
    world = World(snapshot(entry()))
    with running(world):
        page = opened(world.base)
        cookies = page.context.cookies()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        page.context.add_cookies(cookies)  # the browser's copy is of no use
        page.reload()
        expect(page.get_by_label("Token")).to_be_visible()
        log_in(page)


def test_a_controller_that_no_longer_leads_names_the_leader(opened, allow):
    allow(503)
    world = World(snapshot(entry()))
    with running(world):
        page = opened(world.base)
        world.snapshot = snapshot(entry(), leads=False, at=world.snapshot.taken_at + 1)
        expect(page.locator("main")).to_contain_text("pod-1 leads")
        visit(page, "#/tenants?database=main")
        expect(page.get_by_role("alert").first).to_contain_text("this controller waits: pod pod-1 leads")
