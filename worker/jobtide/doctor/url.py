"""What a database URL says by itself, and what a connection that failed means. No text has any part of a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from jobtide.doctor.findings import Finding

_SUPABASE_POOLER = ".pooler.supabase.com"
_TRANSACTION_PORT = "6543"

# The first that fits the error of a connection, and what to do.
_ADVICE = (
    (r"tenant or user not found", "behind Supabase's pooler the user is ROLE.PROJECT_REF"),
    (
        r"password authentication failed|no password supplied",
        ("check user and password; special characters of the password are percent-encoded (@ as %40)"),
    ),
    (r"role .* does not exist", "create it: CREATE ROLE ... LOGIN PASSWORD '...' IN ROLE jobtide_worker"),
    (r"database .* does not exist", "correct the name after the last /, or create the database"),
    (
        r"pg_hba\.conf",
        (
            "the server lets this user in from elsewhere, or otherwise encrypted only: add a line to its "
            "pg_hba.conf, or change sslmode"
        ),
    ),
    (r"does not support SSL", "the server has no TLS: use sslmode=prefer, or set up TLS there"),
    (r"certificate|root\.crt", "name the file with its CA: sslrootcert=FILE"),
    (
        r"too many connections for role",
        (
            "a worker needs 2 and 1 more at times, the controller 3: ALTER ROLE ... CONNECTION LIMIT N, or -1 for no "
            "limit; or end other connections of this role"
        ),
    ),
    (
        r"too many connections for database",
        "ALTER DATABASE ... CONNECTION LIMIT N, or -1 for no limit; or end other connections to it",
    ),
    (r"too many (clients|connections)|remaining connection slots", "end other connections, or raise max_connections"),
    (
        r"[Nn]ame or service not known|resolve|translate host|nodename nor|name resolution",
        "correct the host; in a cluster it is SERVICE.NAMESPACE.svc",
    ),
    (r"refused", "nothing listens there: check host and port, and that the server runs"),
    (
        r"unreachable|assign requested",
        (
            "there is no route to it: a host with IPv6 only, such as db.PROJECT.supabase.co, "
            "needs IPv6 here, or its pooler"
        ),
    ),
    (r"timeout|timed out|not answered", "nothing answers there: check host and port, firewalls and NetworkPolicies"),
    (
        r"closed the connection unexpectedly|invalid response|SSL",
        ("something else than PostgreSQL may listen there, or a proxy that does not forward TLS: check host and port"),
    ),
)


def url_findings(url: str) -> Iterator[Finding]:
    """The place that the URL leads to, and what is odd about it."""
    parts = conninfo_to_dict(url)
    yield Finding("url", "ok", place(parts))
    host, user, port = (str(parts.get(name) or "") for name in ("host", "user", "port"))
    if host.endswith(_SUPABASE_POOLER) and "." not in user:
        yield Finding(
            "url",
            "warning",
            f"user {user or '(none)'} names no project: behind this pooler the user is ROLE.PROJECT_REF",
        )
    if host.endswith(_SUPABASE_POOLER) and port == _TRANSACTION_PORT:
        yield Finding(
            "url",
            "note",
            "port 6543 is the pooler in transaction mode: workers and controller are fine "
            "with it, jobtide schema apply needs port 5432",
        )


def place(parts: dict[str, Any]) -> str:
    """`user@host:port/database`."""
    host = str(parts.get("host") or parts.get("hostaddr") or "(local socket)")
    port = f":{parts['port']}" if parts.get("port") else ""
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"{user}{host}{port}/{parts.get('dbname') or ''}"


def is_remote(url: str) -> bool:
    """False for this machine."""
    parts = conninfo_to_dict(url)
    hosts = str(parts.get("host") or parts.get("hostaddr") or "").split(",")
    return not all(one in {"", "localhost", "127.0.0.1", "::1"} or one[0] in "/@" for one in hosts)


def advice(message: str) -> str:
    """What to do about a connection that failed with this message."""
    return next((f"; {words}" for pattern, words in _ADVICE if re.search(pattern, message, re.IGNORECASE)), "")
