"""Windows by the clock, with the controller as a process between a real API server and a real PostgreSQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.cluster.controllers import condition, until

OPEN = {"cron": "0 * * * *", "durationSeconds": 3_600}


def away() -> dict[str, Any]:
    """Half a day from now, for an hour."""
    return {"cron": f"0 {(datetime.now(UTC) + timedelta(hours=12)).hour} * * *", "durationSeconds": 3_600}


def status(kubectl) -> dict[str, Any]:
    return kubectl.get("jobworkerpool", "thumbs").get("status", {})


def set_windows(kubectl, *schedules) -> None:
    patch = json.dumps({"spec": {"schedules": schedules}})
    kubectl("patch", "jobworkerpool", "thumbs", "--type=merge", "--patch", patch)


def test_windows_that_move_change_the_number_of_workers_and_the_status(controller, kubectl, pool, insert, replicas):
    assert kubectl.apply(pool(schedules=[{"name": "floor", **OPEN, "minReplicas": 2}])).returncode == 0
    controller()
    until(lambda: replicas() == 2)
    shown = until(lambda: status(kubectl).get("schedule"))
    (active,) = shown["active"]
    assert (active["name"], active["decides"]) == ("floor", ["minReplicas"])
    assert status(kubectl)["limits"][0]["window"] == "floor"

    insert(8)
    set_windows(kubectl, {"name": "floor", **away(), "minReplicas": 2}, {"name": "ceiling", **OPEN, "maxReplicas": 1})
    until(lambda: replicas() == 1)
    shown = until(lambda: found if (found := status(kubectl)["schedule"])["active"][0]["name"] == "ceiling" else None)
    assert shown["next"]["name"] == "floor"
    until(lambda: "of window ceiling" in status(kubectl)["message"])

    set_windows(kubectl)
    until(lambda: replicas() == 2)
    until(lambda: "schedule" not in status(kubectl))


def test_an_unknown_timezone_is_named_and_leaves_the_workers_as_they_are(controller, kubectl, pool, replicas):
    assert kubectl.apply(pool(schedules=[{"name": "floor", **OPEN, "minReplicas": 2}])).returncode == 0
    controller()
    until(lambda: replicas() == 2)
    set_windows(kubectl, {"name": "floor", **OPEN, "timezone": "Mars/Olympus", "minReplicas": 3})
    until(lambda: condition(kubectl, "Ready").get("reason") == "InvalidSpec")
    assert 'schedules[0].timezone ("Mars/Olympus") is not in' in condition(kubectl, "Ready")["message"]
    assert replicas() == 2
    set_windows(kubectl, {"name": "floor", **OPEN, "timezone": "Australia/Lord_Howe", "minReplicas": 3})
    until(lambda: replicas() == 3)
