"""The contract: the columns, defaults, rights and indexes that the checks compare a table with."""

from __future__ import annotations

STATUS_TYPE = "job_status"
STATUS_VALUES = ("pending", "processing", "completed", "failed")

COLUMNS = {
    "id": "uuid",
    "tenant_id": "uuid",
    "type": "text",
    "status": "job_status",
    "payload": "jsonb",
    "result": "jsonb",
    "worker_id": "text",
    "attempts": "integer",
    "next_retry_at": "timestamp with time zone",
    "created_at": "timestamp with time zone",
    "completed_at": "timestamp with time zone",
}

# A plain INSERT of tenant_id, type and payload must make a job.
NEEDED_DEFAULTS = {"id": "gen_random_uuid()", "status": "'pending'", "attempts": "0", "created_at": "now()"}

PEOPLE_COLUMNS = {"tenants": {"id": "uuid"}, "users": {"id": "uuid", "tenant_id": "uuid"}}

# Written by claims and ends; by inserts; and set to NULL by ends or requeues.
CHANGED = ("status", "worker_id", "attempts", "next_retry_at", "result", "completed_at")
INSERTED = ("id", "tenant_id", "type", "payload", "next_retry_at")
EMPTIED = ("next_retry_at", "completed_at")
_NOT_PAYLOAD = tuple(name for name in COLUMNS if name != "payload")

# The rights that each part uses. 90_least_privilege.sql grants them; a test compares the two.
GRANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "worker": {
        "SELECT": tuple(COLUMNS),
        "UPDATE": CHANGED,
        "INSERT": INSERTED,
    },
    "controller": {"SELECT": _NOT_PAYLOAD, "UPDATE": ("status", "attempts", "next_retry_at", "result")},
}

# As pg_get_indexdef writes them, the same on 15 and 18.
INDEX_KEYS = {
    "idx_job_queue_tenant_id": ("tenant_id",),
    "idx_job_queue_status_created_at": ("status", "created_at"),
    "idx_job_queue_type": ("type",),
    "idx_job_queue_due": (
        "type",
        "tenant_id",
        "COALESCE(next_retry_at, created_at, '-infinity'::timestamp with time zone)",
        "id",
    ),
    "idx_job_queue_running": ("type", "tenant_id", "status"),
}
