"""Pure: jobs as jobtide.operate describes them, as the JSON documents of the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import nlargest

from jobtide.operate.read import JobDetail, JobLine, Listing
from jobtide.operate.why import Why
from jobtide_controller.loop.pools import PoolEntry
from jobtide_controller.page.depths import Depths, Total
from jobtide_controller.page.documents import Json, total_fields
from jobtide_controller.page.limits import NO_LIMITING, Limiting, OfPool, in_force_of, limit_fields, type_limit_fields

ERROR_CHARACTERS = 200
TENANTS_SHOWN = 200


def job_row(line: JobLine) -> Json:
    """One job in a list."""
    error = _error(line)
    return {
        "id": line.id,
        "type": line.type,
        "tenant": line.tenant_id,
        "tenant_label": None,
        "status": line.status,
        "attempts": line.attempts,
        "created_at": _seconds(line.created_at),
        "due_at": _seconds(line.due_at) if line.status == "pending" else None,
        "started_at": None,
        "ended_at": _seconds(line.completed_at),
        "error": None if error is None else error[:ERROR_CHARACTERS],
        "held_by": line.worker_id if line.status == "processing" else None,
    }


def listing_note(listing: Listing) -> str | None:
    """What was not looked at."""
    if not listing.cuts:
        return None
    parts = [f"{cut.status} jobs back to {cut.back_to}" for cut in listing.cuts]
    return f"looked at {' and '.join(parts)} only; for older ones name a tenant, or an earlier until"


def job_text(detail: JobDetail, found: Why | None, *, shows_payload: bool) -> str:
    """One job as JSON text. Payload and result stay as PostgreSQL wrote them: their numbers are exact."""
    line = detail.line
    document = {
        **job_row(line),
        "error_full": _error(line),
        "payload_hidden": not shows_payload,
        "payload_bytes": detail.payload_bytes,
        "result_bytes": detail.result_bytes,
        "story": list(_story(line)),
        "why": None if found is None else _why(found),
    }
    text = json.dumps(document)
    payload = detail.payload if shows_payload else None
    return f'{text[:-1]}, "payload": {payload or "null"}, "result": {detail.result or "null"}}}'


@dataclass(frozen=True, slots=True)
class Failed:
    """Failed jobs of the last hour, of the types that the viewer may see."""

    by_tenant: Mapping[str, int] | None = None  # None: not known
    capped: bool = False


def tenant_rows(  # noqa: PLR0917 - one value from each source
    entries: Iterable[PoolEntry],
    depths: Depths,
    types: Collection[str],
    slots: int,
    failed: Failed,
    limiting: Limiting = NO_LIMITING,
) -> Json:
    """The tenants with jobs of these types, or with failed ones: `slots` is how many jobs ready workers run at once."""
    failures = failed.by_tenant or {}
    totals = {tenant: Total() for tenant in failures} | depths.by_tenant(types)
    known = [entry for entry in entries if set(entry.types) & set(types)]
    first = nlargest(
        TENANTS_SHOWN,
        totals.items(),
        key=lambda pair: (pair[1].depth, pair[1].running, failures.get(pair[0], 0), pair[0]),
    )
    limits = in_force_of(known, [tenant for tenant, _ in first], limiting)
    rows = [tenant_row(tenant, total, limits, slots, failed) for tenant, total in first]
    return {"rows": rows, "shown": len(rows), "total": len(totals) + depths.unnamed_tenants(types)}


def tenant_row(tenant: str, total: Total, limits: Iterable[OfPool], slots: int, failed: Failed) -> Json:
    """One tenant over the pools of these limits."""
    return {
        "tenant": tenant,
        "label": None,
        **total_fields(total),
        **limit_fields(tenant, total.running, limits),
        "share": min(1.0, total.running / slots) if slots else None,
        "failed_last_hour": None if failed.by_tenant is None else failed.by_tenant.get(tenant, 0),
        "failed_capped": failed.capped,
    }


def tenant_parts(
    tenant: str,
    entries: Sequence[PoolEntry],
    depths: Depths,
    is_allowed: Callable[[str], bool],
    limits: Sequence[OfPool],
) -> list[Json]:
    """One tenant's jobs by pool and type, of the types that are allowed. `limits` are those of the same pools."""
    return [
        {
            "namespace": entry.ref.namespace,
            "pool": entry.ref.name,
            "type": type_,
            **total_fields(total),
            **type_limit_fields(tenant, type_, total.running, pool),
        }
        for entry, pool in zip(entries, limits, strict=True)
        for type_, total in depths.of_tenant(tenant, entry.types).items()
        if is_allowed(type_)
    ]


def _why(found: Why) -> Json:
    return {
        "sentence": found.reasons[0].text,
        "causes": [reason.text for reason in found.reasons],
        "codes": [reason.code for reason in found.reasons],
    }


def _story(line: JobLine) -> Iterator[Json]:
    created, ended = _seconds(line.created_at), _seconds(line.completed_at)
    yield {"time": created, "text": "created"}
    if line.status == "pending" and line.attempts:
        error = _error(line)
        yield {"time": None, "text": f"attempt {line.attempts} ended{f': {error}' if error else ''}"}
    if line.status == "pending":
        yield {"time": _seconds(line.due_at), "text": "due"}
    if line.status == "processing":
        yield {"time": None, "text": f"runs in attempt {line.attempts}, held by {line.worker_id}"}
        yield {"time": _seconds(line.due_at), "text": "its lease lasts until then, unless it is extended"}
    if line.status in {"completed", "failed"}:
        yield {"time": ended, "text": f"{line.status} in attempt {line.attempts}"}


def _error(line: JobLine) -> str | None:
    return ": ".join(text for text in (line.error_type, line.error_message) if text) or None


def _seconds(text: str | None) -> float | None:
    """A time of jobtide.operate in seconds since the epoch. Infinity has no number in JSON: null."""
    if text is None or text.endswith("infinity"):
        return None
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
