"""The documentation's site in the browser: search, dark mode, versions, and nothing from another origin."""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect

from jobtide import __version__
from tests.browser.conftest import PATIENCE_MS, Watch

PHONE, DESKTOP = 390, 1280
REFERENCE = f"{__version__}/docs/reference.html"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def documentation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the site, under a path, as a forge serves it."""
    folder = tmp_path_factory.mktemp("served")
    command = [sys.executable, "-m", "dev.site", "--output", folder / "jobtide", "--url", "/jobtide/"]
    subprocess.run(command, check=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/jobtide/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def read(browser: Browser, documentation: str) -> Iterator[Callable[..., Page]]:
    """read("page", width=...): the page; at the end nothing is in the console, and no request went elsewhere."""
    watches: list[Watch] = []

    def opened(path: str = "", *, width: int = DESKTOP) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="light")
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        watches.append(Watch(page, documentation.split("/jobtide", maxsplit=1)[0], set()))
        page.goto(documentation + path)
        return page

    yield opened
    for watch in watches:
        watch.page.context.close()
    assert [problem for watch in watches for problem in watch.problems] == []


def test_a_reader_finds_drain_and_keeps_the_dark_mode_on_the_page_that_has_it(read):
    page = read()
    expect(page.locator("article h1")).to_contain_text("Jobtide")
    expect(page.locator(".version-switcher__button").first).to_have_text(__version__)
    page.get_by_role("button", name="Color mode").first.click()
    page.get_by_role("button", name="Dark").first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.keyboard.press("Control+k")
    page.keyboard.type("drain")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Writing and running workers").first.click()
    expect(page.locator("article h1")).to_contain_text("Writing and running workers")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize(("path", "width"), [("", PHONE), (REFERENCE, PHONE), ("", DESKTOP)])
def test_no_page_is_wider_than_the_screen(read, path, width):
    page = read(path, width=width)
    expect(page.locator("article h1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
