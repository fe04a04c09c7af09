"""What the server says of the doctor's own session (sql/session.sql): encryption, pooler, clock, role, connections."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from jobtide._version import __version__
from jobtide.doctor.findings import Finding
from jobtide.doctor.link import Link
from jobtide.doctor.url import is_remote
from jobtide.schema import Part

_SKEW_SECONDS = 2.0
_OLDEST_SERVER = 15
_FULL = 0.9  # of max_connections, or of a limit
# Of one worker or the controller: for all that it does, and without which it can't work. See docs/operations.md.
_WANTED = 3
_NEEDED = {"worker": 2, "controller": 1}
_USES = {
    "worker": "each worker needs 2, for claims and for ends, and 1 more at times",
    "controller": "the controller needs 1, and 2 more to delete ended jobs and to look at the health of the table",
}

About = Mapping[str, Any]


def version_findings(about: About, milliseconds: float) -> Iterator[Finding]:
    """Of a connection that was made in this time."""
    version = about["version"].split(" ")[0]
    yield Finding("connection", "ok", f"PostgreSQL {version}, connected in {milliseconds:.0f} ms")
    if about["version_num"] // 10_000 < _OLDEST_SERVER:
        text = (
            f"PostgreSQL {version} is older than {_OLDEST_SERVER}, the oldest that Jobtide is tested with: upgrade it"
        )
        yield Finding("connection", "error", text)


def tls_findings(link: Link) -> Iterator[Finding]:
    """Whether others can read or forge what goes over the connection."""
    connection, remote = link.connection(), is_remote(link.url)
    mode = connection.info.get_parameters().get("sslmode", "prefer")
    if not connection.pgconn.ssl_in_use:
        text = "not encrypted, and the server is another machine: set sslmode=verify-full, or require"
        yield Finding("tls", "warning", text) if remote else Finding("tls", "ok", "not encrypted, on this machine")
    elif mode in {"verify-ca", "verify-full"}:
        yield Finding("tls", "ok", f"encrypted, and the server is verified (sslmode={mode})")
    else:
        text = (
            f"encrypted; the server is not verified (sslmode={mode}): sslmode=verify-full with sslrootcert=FILE does it"
        )
        yield Finding("tls", "note" if remote else "ok", text)


def pooler_findings(link: Link, about: About, part: Part) -> Iterator[Finding]:
    """Whether one is between, and what it changes."""
    if not is_pooled(link, about):
        yield Finding("pooler", "ok", "none: the connection leads to the server itself")
        return
    effect = {
        "worker": "no idle worker through it, so workers poll each 0.15 s",
        "controller": "the controller not through it, which notices a job at its next reading, at most a second later",
    }[part]
    text = f"there is one: an INSERT wakes {effect}; everything else works, also in transaction mode"
    yield Finding("pooler", "note", text)


def is_pooled(link: Link, about: About) -> bool:
    """A pooler announces process IDs of its own."""
    return bool(about["pid"] != link.connection().info.backend_pid)


def clock_findings(link: Link) -> Iterator[Finding]:
    """Whether the server's clock and this machine's agree."""
    before = time.time()
    server = link.row("SELECT date_part('epoch', clock_timestamp()) AS now")["now"]
    yield skew_finding(before, server, time.time())


def skew_finding(before: float, server: float, after: float) -> Finding:
    """The server's time was asked for between `before` and `after`: what that does not explain is a difference."""
    skew = max(server - after, before - server, 0.0)
    if skew <= _SKEW_SECONDS:
        return Finding("clock", "ok", "server and this machine agree")
    ahead = "ahead of" if server > after else "behind"
    text = (
        f"the server is {skew:.1f} s {ahead} this machine: times in logs, statuses and windows by the clock differ "
        "from the table's; synchronize both with NTP"
    )
    return Finding("clock", "warning", text)


def role_findings(about: About, part: Part) -> Iterator[Finding]:
    """What kind of role it is. What it lacks is found by the check of the table."""
    role, group = about["role"], f"jobtide_{part}"
    if about["is_superuser"]:
        text = f"{role} is a superuser: every {part} could read and drop everything. Use a login IN ROLE {group}"
        yield Finding("role", "warning", text)
        return
    if group in about["groups"]:
        yield Finding("role", "ok", f"{role}, in {group}")
        return
    kind = "owns job_queue" if about["is_owner"] else "has BYPASSRLS" if about["bypasses_rls"] else ""
    known = "; ".join(filter(None, (kind, *(f"is in {name}" for name in about["groups"]))))
    hint = ". For controllers: --part controller" if "jobtide_controller" in about["groups"] else ""
    text = (
        f"{role} is not in {group}{f' ({known})' if known else ''}; what it needs is checked below. "
        f"A login IN ROLE {group} has just these rights{hint}"
    )
    yield Finding("role", "note", text)


def connection_findings(link: Link, about: About, part: Part) -> Iterator[Finding]:
    """How many are left, and who of Jobtide has some: workers and controllers name themselves with their version."""
    used, most = about["connections"], about["most_connections"]
    text = f"{used} of {most} in use"
    if used >= _FULL * most:
        text += ": a worker that finds none waits; raise max_connections, or set connectionBudget in the chart's values"
    yield Finding("connections", "warning" if used >= _FULL * most else "ok", text)
    for kind, limit in about["connection_limits"].items():
        if limit["most"] >= 0:
            yield limit_finding(kind, limit, part, pooled=is_pooled(link, about))
    if clients := about["clients"]:
        words = ", ".join(f"{count} of {name}" for name, count in sorted(clients.items()))
        others = {name.partition("/")[2] for name in clients} - {__version__, ""}
        note = f"; this doctor is {__version__}, and checks for that version" if others else ""
        yield Finding("clients", "note" if others else "ok", f"connections: {words}{note}")


def limit_finding(kind: str, limit: Mapping[str, Any], part: Part, *, pooled: bool) -> Finding:
    """Whether the part finds enough connections under a CONNECTION LIMIT. Behind a pooler one may do for many."""
    name, used, most = limit["name"], limit["used"], limit["most"]
    text = f"{used} of the {most} that {kind} {name} may have are in use"
    if pooled or (most >= _WANTED and used < _FULL * most):
        return Finding("connections", "ok", text)
    number = "N, 3 for each worker of all its pools" if part == "worker" else "3 or more"
    raised = f"ALTER {kind.upper()} {name} CONNECTION LIMIT {number} (-1: no limit)"
    return Finding("connections", "error" if most < _NEEDED[part] else "warning", f"{text}: {_USES[part]}; {raised}")
