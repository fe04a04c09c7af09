"""The page follows the controller by itself, and holds still when asked."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from dev.machine.wait import first_true
from tests.browser.conftest import Site, address, visit

POOL = address("pools", "media", "slow")


def waiting(page: Page):
    return page.get_by_role("row", name="media/slow").locator("td[data-label=Waiting]")


def known_waiting(page: Page) -> int:
    """What the controller would say now, past the page's own state."""
    overview = page.evaluate("fetch('api/overview').then((answer) => answer.json())")
    (pool,) = (pool for pool in overview["pools"] if pool["name"] == "slow")
    return pool["waiting"]


@pytest.fixture
def held(site: Site, tenant: str):
    """held(3) -> three jobs of one worker that runs until the test ends."""
    file = site.folder / tenant

    def insert(count: int) -> list[str]:
        return site.insert(tenant, "hold", count, {"file": str(file)})

    yield insert
    file.touch()


def test_new_jobs_appear_without_a_reload_and_a_pause_holds_the_numbers(site: Site, page: Page, held):
    held(4)
    expect(waiting(page)).to_have_text("3")
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "true")
    held(2)
    assert first_true(lambda: known_waiting(page) == 5, within_seconds=60)
    expect(waiting(page)).to_have_text("3")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    expect(waiting(page)).to_have_text("5")


def test_a_decision_is_a_marker_that_opens_its_why(site: Site, page: Page, held, violations):
    held(2)
    visit(page, POOL)
    marker = page.get_by_role("button", name="from 0 to 1 workers").last
    marker.click()
    decision = page.get_by_role("region", name="The chosen decision")
    expect(decision).to_contain_text("0 → 1 workers")
    # An earlier test's jobs may have been the reason of this one: more jobs, and with limits after the number.
    expect(decision.locator("pre")).to_contain_text(re.compile(r": 1 worker\b"))
    expect(decision.locator("pre")).to_contain_text("backlog: ceil(")
    assert "at=" in page.url
    assert violations(page) == []
    marker.press("ArrowLeft")
    page.get_by_role("link", name="Close this decision").click()
    expect(decision).to_have_count(0)


def test_the_chart_has_its_numbers_as_a_table(site: Site, page: Page, held):
    held(3)
    visit(page, POOL)
    page.get_by_text("The newest numbers as a table").click()
    table = page.get_by_role("table", name="The chart's newest numbers")
    expect(table.get_by_role("columnheader", name="hold")).to_be_visible()
    expect(page.get_by_role("img", name="Chart of waiting jobs")).to_be_visible()


def test_layers_and_time_are_links(page: Page):
    visit(page, POOL)
    page.get_by_role("link", name="by tenant").click()
    page.get_by_role("link", name="6 h").click()
    expect(page.get_by_role("link", name="by tenant")).to_have_attribute("aria-current", "true")
    assert "range=6h" in page.url
    assert "by=tenant" in page.url


def test_a_tenants_running_jobs_are_on_its_page(site: Site, page: Page, held, tenant: str):
    held(3)
    visit(page, address("tenants", "main", tenant))
    row = page.get_by_role("table", name="Pools and types").get_by_role("row", name="hold")
    expect(row.locator("td[data-label=Running]")).to_have_text("1")
    expect(row.locator("td[data-label=Waiting]")).to_have_text("2")
