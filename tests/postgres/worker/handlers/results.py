"""A handler whose result is as large as its payload says."""

from __future__ import annotations

from jobtide import Tide

tide = Tide()


@tide.job("sized")
def sized(payload: dict) -> str:
    return payload["of"] * payload["count"]
