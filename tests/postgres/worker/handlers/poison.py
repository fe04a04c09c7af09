"""A handler that reports what PostgreSQL can't store."""

from __future__ import annotations

from jobtide import Context, Tide

tide = Tide()


@tide.job("progress")
def progress(payload: dict, ctx: Context) -> None:
    ctx.progress(0.5, "a\x00b")


@tide.job("echo")
def echo(payload: object) -> object:
    return payload
