"""Each screen, in light, dark and on a phone: it shows its subject, and axe finds nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, address, visit

PHONE = 360

SCREENS = {
    "overview": ("Overview", "media/quick"),
    "pool": ("media/quick", "Why this many workers"),
    "tenants": ("Tenants", "Share of slots"),
    "tenant": (re.compile("[0-9a-f-]{36}"), "Pools and types"),
    "jobs": ("Jobs", "no such film"),
    "job": ("wrong", "Story"),
    "actions": ("Actions", re.compile("No action yet|Begun")),  # tests that ran before may have begun some
    "missing": ("Not found", "This address names no screen."),
}


@pytest.fixture(scope="module")
def places(site: Site) -> Iterator[dict[str, str]]:
    """Addresses of all screens, over some rows of each kind."""
    tenant = site.tenant("acme")
    site.insert(tenant, "echo", 2, next_retry_at="2100-01-01")
    job = site.failed(tenant)[-1]
    yield {
        "overview": "#/",
        "pool": address("pools", "media", "quick", range="1h", by="tenant"),
        "tenants": address("tenants", database="main"),
        "tenant": address("tenants", "main", tenant),
        "jobs": address("jobs", database="main", tenant=tenant),
        "job": address("jobs", "main", job),
        "actions": "#/actions",
        "missing": "#/nowhere",
    }
    site.forget(tenant)


@pytest.fixture
def at(open_page, places) -> Callable[..., Page]:
    def opened(screen: str, **window) -> Page:
        page = open_page(**window)
        visit(page, places[screen])
        title, text = SCREENS[screen]
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(page.locator("main")).to_contain_text(text)
        return page

    return opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_shows_its_subject_and_axe_finds_nothing(at, violations, screen, scheme):
    page = at(screen, scheme=scheme)
    assert violations(page) == []


@pytest.mark.parametrize("screen", SCREENS)
def test_a_phone_needs_no_scrolling_sideways(at, violations, screen):
    page = at(screen, width=PHONE, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert violations(page) == []


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screens_address_opens_it_again(at, screen):
    """Filters are in the address too: it can be sent to a colleague."""
    page = at(screen)
    page.reload()
    title, text = SCREENS[screen]
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.locator("main")).to_contain_text(text)


def test_a_type_with_a_promise_of_its_own_shows_it(at):
    table = at("pool").get_by_role("table", name="Jobs by type")
    expect(table.get_by_role("row").filter(has_text="wrong")).to_contain_text("of 10m")
    expect(table.get_by_role("row").filter(has_text="echo")).to_contain_text("of 1m")


def test_limits_of_a_window_are_shown_with_its_name(at):
    row = at("overview").get_by_role("table", name="Pools").get_by_role("row").filter(has_text="media/slow")
    expect(row).to_contain_text("max 1 (always)")
    expect(row).to_contain_text("of 1m30s (always)")


def test_limits_of_a_tenant_are_shown_wherever_its_jobs_are(site: Site, page: Page, tenant: str):
    site.insert(tenant, "echo", 1, next_retry_at="2100-01-01")
    site.connection.execute(
        psycopg.sql.SQL(
            "CREATE VIEW job_tenant_limits AS SELECT {}::uuid AS tenant_id, type, 0 AS max_concurrent, "
            "NULL::int AS weight, '2100-01-01Z'::timestamptz AS until FROM (VALUES ('echo')) AS limited (type)"
        ).format(psycopg.sql.Literal(tenant))
    )
    try:
        for parts, query in (
            (("tenants", "main", tenant), {}),
            (("tenants",), {"database": "main"}),
            (("pools", "media", "quick"), {}),
        ):
            visit(page, address(*parts, **query))
            words = "echo: paused until 2100-01-01 00:00:00Z"
            expect(page.locator("main")).to_contain_text(words, timeout=30_000)  # a new view is looked for each 10 s
    finally:
        site.connection.execute("DROP VIEW job_tenant_limits")


def test_trouble_is_on_top_and_a_type_without_a_pool_is_named(at):
    page = at("overview")
    trouble = page.get_by_role("region", name="What is wrong")
    expect(trouble).to_contain_text("No pool serves the type resize")
    assert trouble.bounding_box()["y"] < page.get_by_role("region", name="Pools", exact=True).first.bounding_box()["y"]


def test_the_theme_can_be_chosen_and_is_remembered(page: Page):
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Theme: auto").click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(background) == dark


def test_the_keyboard_reaches_everything(page: Page):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Type")).to_be_focused()
    page.keyboard.type("gj")
    expect(page.get_by_label("Type")).to_have_value("gj")


def test_shortcuts_can_be_turned_off(page: Page):
    page.keyboard.press("?")
    page.get_by_label("Shortcuts of single keys are on").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
