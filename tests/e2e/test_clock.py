"""Windows by the clock over real pods: a floor, and a ceiling that takes its place while jobs run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.work import Work, wait_for

RUNS_SECONDS = 25


def test_a_window_moves_while_jobs_run(work: Work) -> None:
    apply(work, windows(busy=open_now(), quiet=half_a_day_away()))
    wait_for("the floor of the open window", lambda: len(work.ready_pods("clock")) == 2 or None)
    assert schedule(work)["active"][0]["name"] == "busy"

    jobs = work.insert("clock.hold", {"seconds": RUNS_SECONDS}, count=2)
    wait_for("both jobs being run", lambda: all(work.row(job).status == "processing" for job in jobs) or None)
    apply(work, windows(busy=half_a_day_away(), quiet=open_now()))
    wait_for("the other window in the status", lambda: schedule(work)["active"][0]["name"] == "quiet" or None)
    assert {work.row(job).status for job in jobs} == {"processing"}

    rows = work.wait_completed(*jobs)
    assert [row.attempts for row in rows] == [1, 1]  # no busy worker was stopped
    wait_for("no worker in the window without any", lambda: work.ready_pods("clock") == [] or None)
    (late,) = work.insert("clock.hold", {"seconds": 0})
    limited = wait_for("the limit of the window", lambda: limits(work))
    assert (limited["limit"], limited["window"]) == (0, "quiet")

    apply(work, windows(busy=open_now(), quiet=half_a_day_away()))
    work.wait_completed(late)


def apply(work: Work, schedules: list[dict[str, Any]]) -> None:
    work.apply_pool("clock", ["clock.hold"], maxReplicas=2, schedules=schedules)


def windows(*, busy: dict[str, Any], quiet: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "busy", **busy, "minReplicas": 2}, {"name": "quiet", **quiet, "maxReplicas": 0}]


def open_now() -> dict[str, Any]:
    return {"cron": "0 * * * *", "durationSeconds": 3_600}


def half_a_day_away() -> dict[str, Any]:
    return {"cron": f"0 {(datetime.now(UTC) + timedelta(hours=12)).hour} * * *", "durationSeconds": 3_600}


def schedule(work: Work) -> dict[str, Any]:
    found: dict[str, Any] = work.kubectl_json("get", "jwp", "clock")["status"]["schedule"]
    return found


def limits(work: Work) -> dict[str, Any] | None:
    listed = work.kubectl_json("get", "jwp", "clock")["status"].get("limits", [])
    return next((limit for limit in listed if limit["name"] == "MaxReplicas"), None)
