"""The jobs of the chaos run: they last and fail as their payload says, and leave a trace of each execution."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo

from jobtide import Context, Fail, Snooze, Tide

RETRY_SECONDS = 0.5
LONGEST_SECONDS = 60  # a hostile tenant may ask for more

# Without these a connection waits a quarter of an hour for a server that was cut off.
IMPATIENT = {"connect_timeout": 3, "tcp_user_timeout": 5_000}

tide = Tide()


def hold(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """A plain job: waits, then returns a result."""
    if payload["seconds"] > LONGEST_SECONDS:
        raise Fail(f"{payload['seconds']} s are too long")
    if ctx.wait_cancelled(payload["seconds"]):
        raise Snooze(0)
    return {"sha256": hashlib.sha256(payload["text"].encode()).hexdigest(), "seconds": payload["seconds"]}


for name in ("short", "long", "rare"):
    tide.job(f"chaos.{name}")(hold)


@tide.job("chaos.effect")
def effect(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Records its execution with the token of its claim; waits while the database is down."""
    execution = uuid4()
    while not _written(execution, ctx):
        if ctx.wait_cancelled(RETRY_SECONDS):
            raise Snooze(0)
    return hold(payload, ctx)


@tide.job("chaos.flaky")
def flaky(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Fails until attempt `succeeds_at`; then it is a plain job."""
    if ctx.attempt < payload["succeeds_at"]:
        raise ConnectionResetError(f"attempt {ctx.attempt} of {payload['succeeds_at']}")
    return hold(payload, ctx)


@tide.job("chaos.poison", max_attempts=3)
def poison(payload: dict[str, Any]) -> None:
    """Never succeeds."""
    raise ValueError(f"poison {payload['text']}")


def _written(execution: object, ctx: Context) -> bool:
    url = Path(os.environ["JOBTIDE_DATABASE_URL_FILE"]).read_text(encoding="utf-8").strip()
    server = make_conninfo(url, **IMPATIENT)
    insert = "INSERT INTO jobtide_chaos.effects (execution, job_id, token) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    try:
        with psycopg.connect(server, autocommit=True, prepare_threshold=None) as conn:
            conn.execute(insert, [execution, ctx.job.id, ctx.job.token])
    except psycopg.OperationalError:
        return False
    return True
