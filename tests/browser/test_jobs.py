"""Finding a customer's job: filters, pages, the job's story; its payload is hidden until it is asked for."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, address, visit


def rows(page: Page):
    return page.get_by_role("table", name="Jobs").locator("tbody tr")


def test_filters_find_jobs_and_are_in_the_address(site: Site, page: Page, tenant: str):
    site.failed(tenant, 3)
    site.insert(tenant, "echo", 2, next_retry_at="2100-01-01")
    visit(page, "#/jobs")
    page.get_by_label("Tenant").fill(tenant)
    page.get_by_label("Status").select_option("failed")
    expect(rows(page)).to_have_count(3)
    page.get_by_label("Error has").fill("no such FILM")
    page.get_by_role("button", name="Search").click()
    expect(rows(page).first).to_contain_text("ValueError: no such film")
    expect(page.get_by_role("button", name="Search")).to_be_focused()
    assert f"tenant={tenant}" in page.url
    assert "status=failed" in page.url
    assert "error=no+such+FILM" in page.url
    page.go_back()
    expect(page.get_by_label("Error has")).to_have_value("")


def test_fifty_jobs_are_a_page(site: Site, page: Page, tenant: str):
    site.failed(tenant, 60)
    visit(page, address("jobs", database="main", tenant=tenant))
    expect(rows(page)).to_have_count(50)
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_role("link", name="First page")).to_be_visible()
    expect(rows(page)).to_have_count(10)
    page.go_back()
    expect(rows(page)).to_have_count(50)


def test_no_job_found_says_what_to_do_next(page: Page, tenant: str):
    visit(page, address("jobs", database="main", tenant=tenant))
    expect(page.locator("main")).to_contain_text("No job matches.")
    expect(page.locator("main")).to_contain_text("Leave out a filter")


def test_a_job_tells_its_story_and_hides_its_payload_until_asked(site: Site, page: Page, tenant: str):
    # More digits than a JavaScript number has: an account number must not change on the way to the eye.
    (job,) = site.insert(tenant, "echo", payload={"account": 90071992547409931234}, next_retry_at="2100-01-01")
    visit(page, address("jobs", "main", job))
    expect(page.get_by_role("heading", level=1)).to_have_text("echo")
    expect(page.get_by_role("region", name="Story")).to_contain_text("created")
    expect(page.locator("main")).not_to_contain_text("account")
    page.get_by_role("button", name="Show the payload").click()
    expect(page.get_by_role("region", name="Payload").locator("pre")).to_have_text(
        '{\n  "account": 90071992547409931234\n}'
    )


def test_a_waiting_job_says_why_it_waits(site: Site, page: Page, tenant: str):
    (job,) = site.insert(tenant, "echo", next_retry_at="2100-01-01")
    visit(page, address("jobs", "main", job))
    expect(page.locator(".notice")).to_contain_text("due")
    (job,) = site.insert(tenant, "resize")
    visit(page, address("jobs", "main", job))
    expect(page.locator("main")).to_contain_text("No pool of this database has the type resize")


def test_a_job_that_runs_on_ends_on_the_page_too(site: Site, page: Page, tenant: str):
    file = site.folder / tenant
    (job,) = site.insert(tenant, "hold", payload={"file": str(file)})
    visit(page, address("jobs", "main", job))
    expect(page.locator(".screen-head .badge")).to_contain_text("processing")
    file.touch()
    expect(page.locator(".screen-head .badge")).to_contain_text("completed")
