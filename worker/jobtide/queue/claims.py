"""Claims: which lap to walk, the statement that walks it, and the arguments of the next claim."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from time import monotonic
from typing import Any

from jobtide.job import Job, token_prefix
from jobtide.payload import Malformed
from jobtide.queue.caps import NO_CAPS, TenantCaps
from jobtide.queue.low_water import LowWater
from jobtide.queue.ring import Key, Lap, Mark, Ring, rows_per_key
from jobtide.queue.session import DatabaseUnreachable, Session
from jobtide.sql import load

_UNANSWERED_SECONDS = 30.0
# A batch that one key filled hides the other keys that wait: every 32nd claim takes one job of each key.
_ONE_OF_EACH_EVERY_CLAIMS = 32
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
MOST_PAYLOAD_BYTES = 16 * 1024 * 1024  # the limit's own limit: see sql/claim.sql for what the server can render
_KEY_FIELDS = ("type", "tenant", "position", "since", "since_id")  # of lock_tenants.sql, for claim_capped.sql
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Claim:
    """The jobs of one claim, and the arguments of the next."""

    jobs: list[Job]
    ring: Ring
    rows_per_key: int
    drained: bool  # the whole lap was walked and no key can have more: nothing else is due


class Claims:
    """The claims of one worker, over one session. Leases run for `lease_seconds` from the claim.

    A payload with more than `max_payload_bytes` of JSON text stays on the server: its job has Malformed instead.
    """

    def __init__(
        self,
        session: Session,
        *,
        pod_uid: str,
        lease_seconds: float,
        caps: TenantCaps = NO_CAPS,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    ) -> None:
        self._session = session
        self._prefix = token_prefix(pod_uid)
        self._lease_seconds = lease_seconds
        self._caps = caps
        self._max_payload_bytes = max_payload_bytes
        self._low_water = LowWater()
        self._successes = 0  # claims that brought jobs
        self._unanswered: dict[str, float] = {}  # token of a claim whose answer was lost -> when it was sent

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim:
        """Claims up to `wanted` due jobs, at most `per_key` of each key, from the ring's cursor on.

        Raises DatabaseUnreachable; if the claim has committed all the same, a later call requeues its jobs.
        """
        self._return_unanswered(monotonic())
        token = self._prefix + secrets.token_hex(8)
        try:
            rows = self._walk(ring.lap(), wanted, per_key, token)
        except DatabaseUnreachable:
            self._unanswered[token] = monotonic()
            raise
        if not rows:
            return Claim([], ring, wanted, drained=True)
        served = self._note(rows)
        self._successes += 1
        one_of_each = self._successes % _ONE_OF_EACH_EVERY_CLAIMS == 0
        return Claim(
            [_job(row, token, self._max_payload_bytes) for row in rows],
            ring.after(_key(rows[-1])),
            1 if one_of_each else rows_per_key(wanted, len(served)),
            drained=len(rows) < wanted and max(served.values()) < per_key,
        )

    def _walk(self, lap: Lap, wanted: int, per_key: int, token: str) -> Rows:
        """From the low-water marks on; then the whole lap for what is still wanted, unless each key gave its share."""
        narrowed = self._low_water.narrowed(lap, -(-wanted // per_key), monotonic())
        rows = self._claim_rows(narrowed, wanted, per_key, token)
        if narrowed is not lap and len(rows) < wanted and min(Counter(map(_key, rows)).values(), default=0) < per_key:
            rows += self._claim_rows(lap, wanted - len(rows), per_key, token)
        return rows

    def _claim_rows(self, lap: Lap, wanted: int, per_key: int, token: str) -> Rows:
        where = _parameters(lap) | {"wanted": wanted}
        how = {"wanted": wanted, "rows_per_key": per_key, "token": token, "lease_seconds": self._lease_seconds}
        how["most_bytes"] = self._max_payload_bytes
        if not self._caps:
            return self._session.execute(load("jobtide.sql", "claim"), where | how)
        with self._session.transaction() as execute:
            keys = execute(load("jobtide.sql", "lock_tenants"), where | self._caps.parameters)
            if not keys:
                return []
            chosen = {f"key_{name}s": [key[name] for key in keys] for name in _KEY_FIELDS}
            chosen["types"] = list({range_.type for range_ in lap})
            return execute(load("jobtide.sql", "claim_capped"), chosen | self._caps.parameters | how)

    def _return_unanswered(self, now: float) -> None:
        """Repeated for 30 s: the lost claim may commit after its connection is closed."""
        if not self._unanswered:
            return
        self._session.execute(load("jobtide.sql", "return_unanswered"), {"tokens": list(self._unanswered)})
        self._unanswered = {
            token: asked for token, asked in self._unanswered.items() if now - asked < _UNANSWERED_SECONDS
        }

    def _note(self, rows: Rows) -> dict[Key, int]:
        """Counts the rows of each key, and moves the low-water marks. The rows of a key are in their order."""
        served = Counter(map(_key, rows))
        for key, row in {_key(row): row for row in rows}.items():
            if row["due_at"] is not None:
                self._low_water.claimed(key, served[key], Mark(row["due_at"], row["id"]))
        return served


def _key(row: dict[str, Any]) -> Key:
    return row["type"], row["tenant_id"].int


def _parameters(lap: Lap) -> dict[str, Any]:
    return {
        "types": [range_.type for range_ in lap],
        "firsts": [f"{range_.first:032x}" for range_ in lap],
        "lasts": [f"{range_.last:032x}" for range_ in lap],
        "sinces": [range_.since and range_.since.due_at for range_ in lap],
        "since_ids": [range_.since and range_.since.id for range_ in lap],
    }


def _job(row: dict[str, Any], token: str, max_payload_bytes: int) -> Job:
    payload = row["payload"]
    if not 0 <= row["payload_bytes"] <= max_payload_bytes:
        size = (
            f"has {row['payload_bytes']} bytes" if row["payload_bytes"] > 0 else "holds a number of over 1,000 digits"
        )
        payload = Malformed(f"it {size}; the limit is {max_payload_bytes} bytes (JOBTIDE_MAX_PAYLOAD_BYTES)")
    return Job(
        id=row["id"],
        tenant_id=row["tenant_id"],
        type=row["type"],
        payload=payload,
        attempt=row["attempts"],
        token=token,
        waited_seconds=row["waited_seconds"],
        result=row["result"],
    )
