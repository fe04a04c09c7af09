"""Jobs that last exactly as long as a test needs. Each test has its own types, so that pools never share one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jobtide import Context, Snooze, Tide

TESTS = (
    *("crash", "delete", "evict", "pool", "namespace", "second", "blind", "causes"),
    *("edit", "shared", "notes", "held", "faults"),
    *("rollout", "node", "partition-lease", "partition-forced", "killed", "handover", "isolated"),
    *("shrink-0", "shrink-1", "shrink-2", "shrink-3", "shrink-4", "scheduled", "counted"),
    *("budget-a", "budget-b", "limits"),
    "clock",
    *("stays", "moves", "grows"),
)

tide = Tide()


def hold(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Runs for `seconds`, or until there is a `file`; before a crash or an expired lease for `first_seconds`."""
    while "file" in payload and not Path(payload["file"]).exists():
        if ctx.wait_cancelled(0.1):
            raise Snooze(0)
    seconds = payload.get("seconds", 0)
    if ctx.job.result is None:
        seconds = payload.get("first_seconds", seconds)
    if ctx.wait_cancelled(seconds):
        raise Snooze(0)
    return {"held_seconds": seconds}


for name in TESTS:
    tide.job(f"{name}.hold")(hold)

if tenant := os.environ.get("CRON_TENANT"):
    tide.cron("* * * * *", "cron.hold", tenant_id=tenant, payload={"seconds": 0})(hold)
