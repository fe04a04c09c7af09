"""Jobs that last as long as their payload says, with one type for each pool of a benchmark."""

from __future__ import annotations

from typing import Any

from jobtide import Context, Snooze, Tide

TYPES = 100

tide = Tide()


def hold(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Waits `seconds` of the payload. A draining worker requeues the job at once."""
    if ctx.wait_cancelled(payload["seconds"]):
        raise Snooze(0)
    return {}


for number in range(TYPES):
    tide.job(f"bench.{number:02}")(hold)
