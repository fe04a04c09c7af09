"""Retry, cancel, run now and purge: preview with the number, the number typed, progress, a stop, a line in the log."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, address, visit


def search(page: Page, tenant: str, **query: str) -> None:
    visit(page, address("jobs", database="main", tenant=tenant, **query))


def confirm(page: Page, verb: str, count: int) -> None:
    dialog = page.get_by_role("dialog", name=verb)
    expect(dialog).to_contain_text(f"{count:,} jobs")
    button = dialog.get_by_role("button", name=f"{verb} {count:,} jobs")
    expect(button).to_be_disabled()
    field = dialog.get_by_label(f"Type {count:,} to confirm")
    field.fill(str(count + 1))
    expect(button).to_be_disabled()
    field.fill(str(count))
    button.click()
    expect(dialog.get_by_role("status")).to_contain_text(f"Done: {count:,} of {count:,} jobs")


def test_axe_finds_nothing_in_the_dialog(site: Site, open_page, violations, tenant: str):
    site.failed(tenant, 3)
    page = open_page(scheme="dark", width=360)
    search(page, tenant)
    expect(page.get_by_role("group", name="Actions")).to_contain_text("Purge goes by age")
    search(page, tenant, until="30m")
    page.get_by_role("button", name="Purge", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("3 jobs")
    assert violations(page) == []
    page.get_by_label("Type 3 to confirm").fill("3")
    page.get_by_role("button", name="Purge 3 jobs").click()
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text("Done")
    assert violations(page) == []
    page.keyboard.press("Escape")
    visit(page, "#/actions")
    expect(page.get_by_role("row", name=tenant)).to_be_visible()
    assert violations(page) == []


def test_all_that_match_are_retried_after_the_number_is_typed(site: Site, page: Page, tenant: str):
    site.failed(tenant, 12, type_="echo")
    search(page, tenant, status="failed")
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("dialog").locator(".examples li")).to_have_count(10)
    confirm(page, "Retry", 12)
    page.keyboard.press("Escape")
    expect(page.locator("main")).to_contain_text("No job matches.")
    assert "failed" not in site.statuses(tenant)
    page.get_by_role("link", name="Actions").click()
    line = page.get_by_role("table", name="Actions").get_by_role("row", name=tenant)
    expect(line).to_contain_text("Retry")
    expect(line).to_contain_text("12/12")
    expect(line).to_contain_text("the owner of this terminal")


def test_chosen_jobs_are_purged(site: Site, page: Page, tenant: str):
    site.failed(tenant, 5)
    search(page, tenant)
    for number in range(2):
        page.get_by_role("checkbox", name="Choose job").nth(number).check()
    expect(page.get_by_role("group", name="Actions")).to_contain_text("2 chosen jobs")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)  # nothing for ended jobs
    page.get_by_role("button", name="Purge", exact=True).click()
    confirm(page, "Purge", 2)
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("table", name="Jobs").locator("tbody tr")).to_have_count(3)
    assert site.statuses(tenant) == {"failed": 3}


def test_one_job_is_run_now_without_typing(site: Site, page: Page, tenant: str):
    (job,) = site.insert(tenant, "echo", next_retry_at="2100-01-01")
    visit(page, address("jobs", "main", job))
    page.get_by_role("button", name="Run now").click()
    page.get_by_role("dialog").get_by_role("button", name="Run now 1 job").click()
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text("Done: 1 of 1 job")
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".screen-head .badge")).to_contain_text("completed")


def test_a_running_job_is_cancelled(site: Site, page: Page, tenant: str):
    file = site.folder / tenant
    (job,) = site.insert(tenant, "hold", payload={"file": str(file)})
    visit(page, address("jobs", "main", job))
    expect(page.locator(".screen-head .badge")).to_contain_text("processing")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel 1 job").click()
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text("Done: 1 of 1 job")
    page.keyboard.press("Escape")
    expect(page.locator(".screen-head .badge")).to_contain_text("failed")
    expect(page.locator("main")).to_contain_text("Cancelled")
    file.touch()


def test_a_long_action_can_be_stopped(site: Site, page: Page, tenant: str):
    """Batches of 500 are paced, so thousands of rows take long enough for a user."""
    site.failed(tenant, 20_000, type_="resize")
    search(page, tenant, status="failed")
    page.get_by_role("button", name="Retry", exact=True).click()
    dialog = page.get_by_role("dialog")
    label = dialog.get_by_text("to confirm")
    number = label.text_content().removeprefix("Type ").removesuffix(" to confirm")
    dialog.get_by_label("to confirm").fill(number)
    dialog.get_by_role("button", name="Retry").click()
    dialog.get_by_role("button", name="Stop").click()
    expect(dialog.get_by_role("status")).to_contain_text("Stopped")
    left = site.statuses(tenant)["failed"]
    assert 0 < left < 20_000
    page.keyboard.press("Escape")
    visit(page, "#/actions")
    expect(page.get_by_role("row", name=tenant)).to_contain_text("stopped")
    assert site.statuses(tenant)["failed"] == left


def test_a_preview_that_is_closed_changes_nothing(site: Site, page: Page, tenant: str):
    site.failed(tenant, 3)
    search(page, tenant)
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("3 jobs")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert site.statuses(tenant) == {"failed": 3}
