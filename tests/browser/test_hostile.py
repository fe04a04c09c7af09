"""Types, tenants' names, errors and payloads are values of other users: on the page they are text, all visible."""

from __future__ import annotations

import random
import unicodedata

import pytest
from playwright.sync_api import Page, expect

from jobtide.printable import printable, printable_lines
from tests.browser.conftest import HOSTILE, Site, address, visit

SHOWN = "film\\u202egpj.exe\\n\\x1b[31m<img src=x onerror=alert(1)>\\u200b<script>alert(2)</script>"


@pytest.fixture
def hostile(site: Site, new_tenant) -> tuple[str, str]:
    tenant = new_tenant(HOSTILE)
    (job,) = site.failed(tenant, 1, message=HOSTILE, type_=HOSTILE)
    site.insert(tenant, HOSTILE, payload={HOSTILE: HOSTILE}, next_retry_at="2100-01-01")
    site.insert(tenant, HOSTILE, payload={})
    return tenant, job


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_strings_are_text_on_every_screen(hostile, open_page, violations, scheme):
    tenant, job = hostile
    page = open_page(scheme=scheme, width=360, height=740)
    expect(page.get_by_role("region", name="What is wrong")).to_contain_text(SHOWN)
    for place in (
        address("jobs", database="main", tenant=tenant),
        address("jobs", "main", job),
    ):
        visit(page, place)
        expect(page.locator("main")).to_contain_text(SHOWN)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("main script, main img[src=x]").count() == 0
        assert violations(page) == []
    assert "\u202e" not in page.title()


def test_a_payload_is_equal_json_without_a_hidden_character(site: Site, hostile, page: Page):
    tenant, _ = hostile
    (job,) = site.insert(tenant, "echo", payload={"text": "a\u202eb\U000e0041"}, next_retry_at="2100-01-01")
    visit(page, address("jobs", "main", job))
    page.get_by_role("button", name="Show the payload").click()
    expect(page.get_by_role("region", name="Payload").locator("pre")).to_have_text(
        '{\n  "text": "a\\u202eb\\udb40\\udc41"\n}'
    )


def test_the_page_and_the_terminal_show_the_same(page: Page):
    """For all characters that both know: Unicode grows, and the browser's tables may be newer than Python's."""
    assigned = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in {"Cn", "Cs"}]
    random.Random(13).shuffle(assigned)
    text = "".join(assigned[:60_000]) + "\r\n\t\x00"[:3]
    shown = page.evaluate("async text => (await import('./text.js')).printable(text)", text)
    assert shown == printable(text)
    lines = page.evaluate("async text => (await import('./text.js')).printableLines(text)", HOSTILE)
    assert lines == printable_lines(HOSTILE)


def test_a_type_may_be_named_like_a_part_of_the_language(page: Page):
    """A layer that the newest point has no more is at zero, also one of the type `constructor`."""
    shown = page.evaluate("""async () => {
      const {appended} = await import('./series.js');
      const layer = {key: 'constructor', values: [3]};
      const series = {start: 0, step_seconds: 1, desired: [1], oldest: [0], ready: [1], busy: [0], depth: [layer]};
      return appended(series, {time: 1, depth: {}, oldest: 0, desired: 1, ready: 1, busy: 0}).depth[0].values;
    }""")
    assert shown == [0]


def test_a_result_that_is_nested_too_deeply_hides_no_job(site: Site, page: Page, tenant: str):
    (job,) = site.failed(tenant)
    deep = "[" * 5_000 + "]" * 5_000
    site.connection.execute("UPDATE job_queue SET result = %s::jsonb WHERE id = %s", [deep, job])
    visit(page, address("jobs", "main", job))
    expect(page.get_by_role("region", name="Result")).to_contain_text("nested too deeply, to show")


def test_an_address_with_a_part_of_the_language_shows_its_screen(site: Site, page: Page, new_tenant):
    site.insert(new_tenant(), "hold", 2, payload={"file": "/nothing"}, next_retry_at="2100-01-01")
    site.insert(new_tenant(), "hold", payload={"file": "/nothing"}, next_retry_at="2100-01-01")
    visit(page, address("tenants", database="main", sort="__proto__"))
    expect(page.get_by_role("table", name="Tenants")).to_be_visible()
