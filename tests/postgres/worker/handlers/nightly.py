"""A schedule whose slots come fast enough for a test."""

from __future__ import annotations

import os

from jobtide import Context, Tide, slot_of

tide = Tide()


@tide.cron("* * * * *", "tick", tenant_id=os.environ["TICK_TENANT"], payload={"why": "cron"})
def tick(payload: dict, ctx: Context) -> dict:
    slot = slot_of(ctx.job)
    return {"slot": slot.isoformat() if slot else None, **payload}


@tide.job("plain")
def plain(payload: dict) -> None: ...
