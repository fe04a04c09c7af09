"""Values that a tenant may store in its rows and that no program should trust: for tests and for chaos runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

# Parameters: tenant, type, status, payload, result, worker_id, attempts, next_retry_at, created_at, completed_at
INSERT = """
INSERT INTO job_queue
    (tenant_id, type, status, payload, result, worker_id, attempts, next_retry_at, created_at, completed_at)
VALUES (%(tenant)s, %(type)s, %(status)s::job_status, %(payload)s::jsonb, %(result)s::jsonb, %(worker_id)s,
    %(attempts)s, %(next_retry_at)s::timestamptz, %(created_at)s::timestamptz, %(completed_at)s::timestamptz)
"""

IN_AN_HOUR = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
STATUSES = ("pending", "pending", "processing", "completed", "failed")
NUMBERS = (-(2**31), -1, 0, 1, 4, 2**31 - 2, 2**31 - 1)
TIMES = (
    None, "infinity", "-infinity", "4714-11-24 00:00:00+00 BC", "0001-01-01", "1900-01-01", "epoch", "now", IN_AN_HOUR,
    "yesterday", "9999-12-31", "294276-12-31 23:59:59.999999+00",
)  # fmt: skip
TYPES = ("", " a", "a\x01", "\U0010ffff", "x" * 100_000)
LARGE_JSON = (
    "[" + "{}," * 500_000 + "{}]", "[" + "1e131071," * 2_000 + "1]", "1e131071", "-1e131071", "1e-16383",
    "[" * 3_000 + "]" * 3_000, json.dumps("x" * 2_000_000), json.dumps("\x01" * 300_000),
    '{"error": {"message": 5}}', '{"error": []}', '{"suspect": 1}', '{"suspect": 2}', '{"suspect": []}', "null",
)  # fmt: skip


def tokens(pod_uid: str, lost_uid: str) -> tuple[str | None, ...]:
    """Claim tokens: none, of other consumers, of these two pods, malformed and long ones."""
    return (
        None, "", "worker_1", "jobtide:", "jobtide::", f"jobtide:{pod_uid}", f"jobtide:{pod_uid}:1",
        f"jobtide:{lost_uid}:1", "jobtide:local-x:1", "jobtide:" + "y" * 1_000_000, f"jobtide:{pod_uid}:" + "z" * 5_000,
        "jobtide:\x01\U0010ffff:1",
    )  # fmt: skip
