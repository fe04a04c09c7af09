"""Settings of the role, database or server that change what a worker or the controller can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jobtide.doctor.findings import Finding

# Milliseconds. Below, statements of ours would be cut off that take their time on a busy server.
_SHORT = {"statement_timeout": 5_000, "lock_timeout": 1_000, "transaction_timeout": 15_000}
_SHORT |= {"idle_in_transaction_session_timeout": 5_000}


def setting_findings(settings: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """`settings`: value and source by name; those that the server's version lacks are missing."""
    found = list(_odd({name: one["value"] for name, one in settings.items()}))
    yield from found or [Finding("settings", "ok", "none of them changes what Jobtide does")]


def _odd(values: Mapping[str, str]) -> Iterator[Finding]:
    if values.get("default_transaction_read_only") == "on":
        yield _finding(
            "error",
            "default_transaction_read_only is on, so nothing can be written: ALTER ROLE or "
            "DATABASE ... RESET default_transaction_read_only; some providers set it when the disk is full",
        )
    if (role := values.get("session_replication_role", "origin")) != "origin":
        yield _finding(
            "warning",
            f"session_replication_role is {role}, so inserts of this role fire no trigger: they "
            "wake no worker, and foreign keys are not checked: ALTER ROLE ... RESET session_replication_role",
        )
    for name, least in _SHORT.items():
        milliseconds = int(values.get(name, "0"))
        if 0 < milliseconds < least:
            yield _finding(
                "warning",
                f"{name} is {milliseconds} ms: statements that wait on a busy server are cut "
                f"off. ALTER ROLE ... SET {name} = '{least // 1000}s', or more",
            )
    if int(values.get("idle_session_timeout", "0")) > 0:
        yield _finding(
            "note",
            f"idle_session_timeout is {values['idle_session_timeout']} ms: the server ends the "
            "connections of idle workers, which then connect again",
        )
    if values.get("synchronous_commit") == "off":
        yield _finding(
            "note",
            "synchronous_commit is off: a crash of the server can undo the last ends of jobs, which then run again",
        )


def _finding(level: Any, text: str) -> Finding:
    return Finding("settings", level, text)
