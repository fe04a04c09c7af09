"""Claims: which lap to walk, the statement that walks it, and the arguments of the next claim."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

from jobtide.job import Job, token_prefix
from jobtide.payload import Malformed
from jobtide.queue.caps import NO_CAPS, TenantCaps
from jobtide.queue.careful import Exclusions, RefusedClaim, about, claim_each, fail
from jobtide.queue.idle_look import IdleLook
from jobtide.queue.limits import Limits
from jobtide.queue.low_water import LowWater
from jobtide.queue.refusals import RowRefused, isolate
from jobtide.queue.ring import Key, Lap, Mark, Ring, rows_per_key
from jobtide.queue.session import DatabaseUnreachable, Execute, Session
from jobtide.queue.visit import NO_VISIT, Visit, visit_after
from jobtide.sql import load

_UNANSWERED_SECONDS = 30.0
_LISTED_AT_MOST = 1_000
_EVIDENCE_SECONDS = 60.0  # a claim in this time shows that the table lets rows be claimed at all
# A batch that one key filled hides the other keys that wait: every 32nd claim takes one job of each key.
_ONE_OF_EACH_EVERY_CLAIMS = 32
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
MOST_PAYLOAD_BYTES = 16 * 1024 * 1024  # the limit's own limit: see sql/claim.sql for what the server can render
# Of lock_tenants.sql, for claim_capped.sql.
_KEY_FIELDS = ("type", "tenant", "position", "since", "since_id", "cap", "type_cap", "weight")
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Claim:
    """The jobs of one claim, and the arguments of the next."""

    jobs: list[Job]
    ring: Ring
    rows_per_key: int
    drained: bool  # the whole lap was walked, from the low-water marks on, and no key can have more
    search_seconds: float = math.inf  # though drained: until rows before these marks can be looked for
    refused: tuple[RefusedClaim, ...] = ()  # rows that the server did not let be claimed, each once


class Claims:
    """The claims of one worker, over one session. Leases run for `lease_seconds` from the claim.

    A payload with more than `max_payload_bytes` of JSON text stays on the server: its job has Malformed instead.
    `pool`: whose stored limits of tenants count, see Limits; None: those of `caps` alone.
    """

    def __init__(
        self,
        session: Session,
        *,
        pod_uid: str,
        lease_seconds: float,
        caps: TenantCaps = NO_CAPS,
        pool: str | None = None,
        refused: Callable[[UUID, str], object] = lambda id_, message: None,  # noqa: ARG005 - see _by_parts
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    ) -> None:
        self._session = session
        self._prefix = token_prefix(pod_uid)
        self._lease_seconds = lease_seconds
        self.limits = Limits(session, pool, caps)
        self._visit: Visit | None = None
        self._weights: dict[Key, int] = {}  # of the keys that gave rows to this claim, where they are not 1
        self._refused = refused
        self._max_payload_bytes = max_payload_bytes
        self._types: tuple[str, ...] = ()  # of the last claim's ring
        self._low_water = LowWater()
        self._idle_look = IdleLook()
        self._successes = 0  # claims that brought jobs
        self._exclusions = Exclusions()
        self._claimed_at = -math.inf  # when rows were last claimed
        self._unanswered: dict[str, float] = {}  # token of a claim whose answer was lost -> when it was sent

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim:
        """Claims up to `wanted` due jobs, at most `per_key` of each key, from the ring's cursor on.

        A row whose claim the server refuses is left out, and the others are claimed. Raises DatabaseUnreachable; if the
        claim has committed all the same, a later call requeues its jobs.
        """
        self.return_unanswered(monotonic())
        self.limits.refresh(ring.of_pool, monotonic())
        if self._idle_look.is_worth(monotonic()) and not self._is_any_due(ring):
            return Claim([], ring, wanted, drained=True)
        return self._claim(ring, wanted, per_key)

    def _claim(self, ring: Ring, wanted: int, per_key: int) -> Claim:
        token = self._prefix + secrets.token_hex(8)
        refused: list[RefusedClaim] = []
        stopped_at: Key | None = None
        visit, self._weights = self._visit, {}
        self._types = ring.of_pool
        lap = self._exclusions.without_full_keys(ring.lap())
        try:
            rows = self._walk(lap, wanted, per_key, token)
        except RowRefused:
            rows, refused, stopped_at = self._claim_carefully(lap, wanted, per_key, token)
        except DatabaseUnreachable:
            self._unanswered[token] = monotonic()
            raise
        self._visit = None
        if not rows:
            # On from the refused rows: there may be more of them than are left out, and others wait behind them.
            onward = ring if stopped_at is None else ring.after(stopped_at)
            search_seconds = self._low_water.next_search_seconds(monotonic())
            return Claim([], onward, wanted, drained=True, search_seconds=search_seconds, refused=tuple(refused))
        served = self._note(rows)
        # Under limits a batch may take a second turn of the first keys: the last turn is where the next claim goes on.
        last = _key(max(reversed(rows), key=lambda row: row.get("turn", 0)))
        if self._weights and len(rows) >= wanted:
            self._visit = visit_after(last, served[last], self._weights, visit)
        self._successes += 1
        self._claimed_at = monotonic()
        one_of_each = self._successes % _ONE_OF_EACH_EVERY_CLAIMS == 0
        return Claim(
            [_job(row, token, self._max_payload_bytes) for row in rows],
            ring.after(last) if self._visit is None else ring.at_key(last),
            1 if one_of_each else rows_per_key(wanted, len(served)),
            drained=len(rows) < wanted and max(served.values()) < per_key and not refused and visit is None,
            search_seconds=self._low_water.next_search_seconds(monotonic()),
            refused=tuple(refused),
        )

    def _is_any_due(self, ring: Ring) -> bool:
        """Row by row; also true if the server refuses the question: the claim then says why."""
        began = monotonic()
        try:
            found = self._session.execute(load("jobtide.sql", "any_due"), {"types": list(ring.types)})
        except RowRefused:
            return True
        now = monotonic()
        self._idle_look.looked(now - began, now)
        return bool(found)

    def _walk(self, lap: Lap, wanted: int, per_key: int, token: str) -> Rows:
        """From the low-water marks on; for what is then still wanted, a search before some of the marks."""
        began = monotonic()
        narrowed = self._low_water.narrowed(lap, -(-wanted // per_key), began)
        rows = self._claim_rows(narrowed, wanted, per_key, token)
        came_short = len(rows) < wanted and min(Counter(map(_key, rows)).values(), default=0) < per_key
        ended = monotonic()
        self._low_water.walked(ended - began, ended)
        self._idle_look.walked(ended - began, drained=came_short)
        if narrowed is not lap and came_short and (search := self._low_water.search(lap, ended)):
            rows += self._search(search, wanted - len(rows), per_key, token, claimed=bool(rows))
        return rows

    def _search(self, lap: Lap, wanted: int, per_key: int, token: str, *, claimed: bool) -> Rows:
        began = monotonic()
        try:
            rows = self._claim_rows(lap, wanted, per_key, token)
        except RowRefused:
            if not claimed:  # those of the first statement are claimed already; a later search finds the refused row
                raise
            rows = []
        now = monotonic()
        self._low_water.searched(now - began, now)
        return rows

    def _claim_rows(self, lap: Lap, wanted: int, per_key: int, token: str) -> Rows:
        where, how = self._arguments(lap, wanted, per_key, token)
        if not self.limits.kinds:
            return self._session.execute(load("jobtide.sql", "claim"), where | how)
        with self._session.transaction() as execute:
            keys = self._locked_keys(execute, where)
            return execute(load("jobtide.sql", "claim_capped"), keys | how) if keys else []

    def _arguments(self, lap: Lap, wanted: int, per_key: int, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of the search for rows, and of their claim."""
        where = _parameters(lap) | {"wanted": wanted}
        how = {"wanted": wanted, "rows_per_key": per_key, "token": token, "lease_seconds": self._lease_seconds}
        how["most_bytes"] = self._max_payload_bytes
        return where, how | {"excluded": self._exclusions.ids(monotonic())}

    def _locked_keys(self, execute: Execute, where: dict[str, Any]) -> dict[str, Any]:
        """Parameters of claim_capped.sql for the keys whose tenants are locked now; empty if there are none."""
        counted = list(self._types)  # a lap may have some of them only, but jobs of all count against a cap
        kinds = self.limits.kinds
        keys = execute(kinds.statement("lock_tenants"), where | kinds.parameters | {"counted": counted})
        if not keys:
            return {}
        self._weights |= {(key["type"], key["tenant"].int): key["weight"] for key in keys if key["weight"] > 1}
        chosen = {f"key_{name}s": [key[name] for key in keys] for name in _KEY_FIELDS}
        chosen["types"] = counted
        return chosen | (NO_VISIT if self._visit is None else self._visit.parameters)

    def _claim_carefully(
        self, lap: Lap, wanted: int, per_key: int, token: str
    ) -> tuple[Rows, list[RefusedClaim], Key | None]:
        """Row by row in one transaction, after the server refused the claim of all at once.

        The claimed rows, the refused ones that are to be reported, and the key of the last refused one.
        """
        where, how = self._arguments(lap, wanted, per_key, token)
        try:
            with self._session.transaction() as execute:
                # A deferred constraint would refuse at the commit, for all rows together.
                self._session.connection().execute("SET CONSTRAINTS ALL IMMEDIATE")
                statement = load("jobtide.sql", "claim_capped" if self.limits.kinds else "claim")
                if self.limits.kinds:
                    where = self._locked_keys(execute, where)
                if not where:
                    return [], [], None
                rows, refused = claim_each(self._session, execute, statement, where | how)
                return rows, *self._set_aside(execute, refused, claimed=bool(rows))
        except RowRefused as refusal:  # the search for rows itself
            raise DatabaseUnreachable(str(refusal)) from None
        except DatabaseUnreachable:
            self._unanswered[token] = monotonic()
            raise

    def _set_aside(
        self, execute: Execute, refused: list[tuple[UUID, RowRefused]], *, claimed: bool
    ) -> tuple[list[RefusedClaim], Key | None]:
        """Ends the refused rows as failed if the fault is theirs; else leaves them out of the next claims.

        None fails if no row at all can be claimed: then the fault is the table's, and a million jobs must not fail.
        """
        now = monotonic()
        is_theirs = claimed or now - self._claimed_at < _EVIDENCE_SECONDS
        found = []
        key: Key | None = None
        for id_, refusal in refused:
            type_, tenant_id = about(execute, id_)
            key = type_, tenant_id.int
            failed = is_theirs and not refusal.may_pass and fail(self._session, execute, id_, refusal)
            if failed or self._exclusions.add(id_, key, now):
                found.append(RefusedClaim(id_, type_, tenant_id, str(refusal), failed))
        return found, key

    def return_unanswered(self, now: float) -> None:
        """Requeues the jobs of lost claims. Repeated for 30 s: one may commit after its connection is closed."""
        if not self._unanswered:
            return
        self._by_parts("return_unanswered", {"tokens": list(self._unanswered)})
        self._unanswered = {
            token: asked for token, asked in self._unanswered.items() if now - asked < _UNANSWERED_SECONDS
        }

    def _by_parts(self, name: str, parameters: dict[str, Any], prefix: str | None = None) -> Rows:
        """Sends a statement that works on all rows of a kind; after a refusal, on parts of them.

        The rows that are refused alone are left, and reported to `refused` each time.
        """
        statement = load("jobtide.sql", name)
        try:
            return self._session.execute(statement, parameters | {"ids": None})
        except RowRefused:
            pass
        rows: Rows = []
        listing = {"token_prefix": self._prefix if prefix is None else prefix, "at_most": _LISTED_AT_MOST}
        try:
            ids = [row["id"] for row in self._session.execute(load("jobtide.sql", "processing"), listing)]
        except RowRefused as refusal:  # it changes no row
            raise DatabaseUnreachable(str(refusal)) from None
        isolate(
            ids,
            lambda part: rows.extend(self._session.execute(statement, parameters | {"ids": list(part)})),
            lambda id_, refusal: self._refused(id_, str(refusal)),
        )
        return rows

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
