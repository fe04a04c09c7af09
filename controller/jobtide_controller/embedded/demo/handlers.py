"""The application of the demo: one type that waits, as for a server, and one that computes."""

from __future__ import annotations

import time
import zlib
from typing import Any

from jobtide import Context, Fail, Snooze, Tide

SEND_SECONDS = 0.3
ROUNDS = 40  # of a report, 10 to 20 ms each
BLOCK_BYTES = 1 << 20

tide = Tide()


@tide.job("mail.send")
def send(payload: dict[str, Any]) -> dict[str, Any]:
    """Takes as long as a mail server, and sends nothing."""
    to = payload.get("to")
    if not isinstance(to, str) or "@" not in to:
        raise Fail(f'"to" is {to!r}: expected an address with an @')
    time.sleep(SEND_SECONDS)
    return {"to": to, "accepted": True}


@tide.job("report.build")
def build(payload: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Half a second of one core: the checksum of invented data."""
    block = str(payload.get("month")).encode().ljust(BLOCK_BYTES, b".")
    checksum = 0
    for number in range(ROUNDS):
        if ctx.cancelled:
            raise Snooze(0)  # this worker stops or lost its lease: the next worker runs the job from the start
        checksum = zlib.crc32(zlib.compress(block, level=9), checksum)
        ctx.progress(number / ROUNDS)
    return {"month": payload.get("month"), "checksum": checksum}
