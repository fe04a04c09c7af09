"""What the page says when something is refused or away: a sentence, what to do next, and never a blank screen."""

from __future__ import annotations

from playwright.sync_api import expect

from dev.postgres.server import Server
from tests.browser.conftest import address, end_site, start_site, visit

UNKNOWN = "\N{EN DASH}"


def test_without_a_session_the_login_says_where_a_token_comes_from(site, open_page, allow, violations):
    allow(401)
    page = open_page(url=site.origin + "/", title="")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Jobtide")
    expect(page.locator("main")).to_contain_text("jobtide dev")
    assert violations(page) == []
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Token").fill(site.url.partition("#token=")[2])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_the_token_leaves_the_address_at_once(site, page):
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""  # the session's cookie is not for scripts


def test_an_ended_session_leads_to_the_login(page, allow):
    allow(401)
    page.context.clear_cookies()
    visit(page, "#/jobs")
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_filter_that_can_not_be_read_says_what_would_be(page, allow):
    allow(400)
    visit(page, address("jobs", database="main", since="yesterday-ish"))
    expect(page.get_by_role("alert")).to_contain_text("yesterday-ish")


def test_a_job_that_does_not_exist_is_no_blank_screen(page, allow):
    allow(404)
    visit(page, address("jobs", "main", "00000000-0000-0000-0000-000000000000"))
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_pool_that_does_not_exist_is_no_blank_screen(page, allow):
    allow(404)
    visit(page, address("pools", "media", "nothing"))
    expect(page.get_by_role("alert")).to_be_visible()


def test_an_action_without_the_sessions_own_value_is_refused(page, allow):
    allow(403)
    status = page.evaluate("fetch('api/actions', {method: 'POST', body: '{}'}).then(({status}) => status)")
    assert status == 403


def test_a_viewer_who_may_not_act_has_no_buttons(site, tenant, open_page):
    """The overview of such a viewer, made from the real one: `jobtide dev` has one user, who may do everything."""
    (job,) = site.failed(tenant)
    page = open_page()

    def without_rights(route):
        overview = route.fetch().json()
        for database in overview["databases"]:
            database["may"] = {"act": False, "payloads": False}
        route.fulfill(json=overview)

    page.route("**/api/overview", without_rights)
    page.route("**/api/events*", lambda route: route.abort())
    visit(page, address("jobs", "main", job))
    page.reload()
    expect(page.locator("main")).to_contain_text("It takes the verb payloads")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    visit(page, address("jobs", database="main", tenant=tenant))
    expect(page.get_by_role("table", name="Jobs")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(0)
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)


def test_a_database_that_is_away_is_unknown_and_not_zero(tmp_path, open_page, violations):
    with Server(version=18) as server:
        site = start_site(server, tmp_path / "work", "page")
        try:
            page = open_page(url=site.url, scheme="dark")
            waiting = page.get_by_role("row", name="media/quick").locator("td[data-label=Waiting]")
            expect(waiting).to_have_text("0")
            server.stop()
            expect(page.get_by_role("region", name="What is wrong")).to_contain_text("can't be read", timeout=60_000)
            expect(waiting).to_have_text(UNKNOWN)
            assert violations(page) == []
            visit(page, address("pools", "media", "quick"))
            expect(page.locator(".facts").first).to_contain_text(UNKNOWN)
            expect(page.locator("main")).to_contain_text("DatabaseReachable")
        finally:
            end_site(site)


def test_a_controller_that_ended_is_said_and_the_numbers_stay(tmp_path, server, open_page):
    site = start_site(server, tmp_path / "work", "ended")
    page = open_page(url=site.url)
    expect(page.get_by_role("row", name="media/quick")).to_be_visible()
    end_site(site)
    expect(page.get_by_role("alert")).to_contain_text("The controller does not answer.")
    expect(page.get_by_role("row", name="media/quick")).to_be_visible()
