"""Settings of a worker, from the environment and flags, validated once at start."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast, get_args
from uuid import UUID

from jobtide.errors import SettingsError
from jobtide.queue.caps import TenantCaps
from jobtide.queue.claims import MOST_PAYLOAD_BYTES
from jobtide.worker.outcome import ErrorDetail, RetryPolicy

if TYPE_CHECKING:
    from jobtide.programs.handler import Program

Value = TypeVar("Value")
_LONGEST_LEASE_SECONDS = 86_400.0  # the controller takes a longer one for forged
_SHORTEST_PROMISE = 0.1  # seconds
_MOST = 1e9  # refuses inf and nan, and keeps every sum in the range of PostgreSQL's intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one worker process; VARIABLES has the name, meaning and default of each."""

    app: str  # empty: only programs
    programs: tuple[Program, ...]
    database_url: str | None
    database_url_file: Path | None
    types: tuple[str, ...] | None
    concurrency: int
    prefetch: int
    lease_seconds: float
    drain_seconds: float
    retry: RetryPolicy
    caps: TenantCaps
    promises: Mapping[str, float]  # by type; empty: all types take turns
    max_result_bytes: int
    max_payload_bytes: int
    error_detail: ErrorDetail
    poll_seconds: float | None  # None: by whether an INSERT wakes the worker
    listen: bool  # an earlier version needed it
    http_host: str  # empty: all addresses
    http_port: int
    log_level: str
    pool: str
    pod_uid: str
    pod_name: str


# name -> (default, meaning). The controller sets most of them from the pool; docs/worker.md is checked against this.
VARIABLES: dict[str, tuple[str, str]] = {
    "JOBTIDE_APP": ("", "the application, module:attribute; the command's argument comes first"),
    "JOBTIDE_EXEC": (
        "",
        'JSON object of job type to the command that handles it, {"thumbs": "node thumb.js"}',
    ),
    "JOBTIDE_DATABASE_URL": ("", "postgresql://user:password@host:port/database"),
    "JOBTIDE_DATABASE_URL_FILE": (
        "",
        "a file with that URL, read at each connect; comes before JOBTIDE_DATABASE_URL",
    ),
    "JOBTIDE_TYPES": ("", 'JSON array of the job types to claim, ["a", "b"]; empty: all that have a handler'),
    "JOBTIDE_CONCURRENCY": ("4", "jobs at once in this process"),
    "JOBTIDE_PREFETCH": (
        "0",
        "jobs to claim ahead; they wait in this process, so keep it 0 for jobs over a second",
    ),
    "JOBTIDE_LEASE_SECONDS": (
        "120",
        "how long a claim holds without an extension, at most 86400; extended at a third of it",
    ),
    "JOBTIDE_DRAIN_SECONDS": ("600", "how long running jobs may take to finish after SIGTERM"),
    "JOBTIDE_MAX_ATTEMPTS": (
        "5",
        "tries before a job ends as failed; a handler's own max_attempts comes first",
    ),
    "JOBTIDE_RETRY_BASE_SECONDS": ("2", "backoff before the second try; it doubles with each"),
    "JOBTIDE_RETRY_MAX_SECONDS": ("3600", "the longest backoff"),
    "JOBTIDE_TENANT_MAX_CONCURRENT": (
        "",
        "jobs of one tenant at once, over all workers of these types; empty: no limit",
    ),
    "JOBTIDE_TENANT_OVERRIDES": ("", 'JSON object of tenant UUID to its own limit, {"<uuid>": 64}; empty: none'),
    "JOBTIDE_PROMISES": (
        "",
        'JSON object of job type to its promise in seconds, {"thumbs": 30}, else 60: nearest to it is claimed first',
    ),
    "JOBTIDE_MAX_RESULT_BYTES": ("1048576", "a result with more bytes of JSON fails its job"),
    "JOBTIDE_MAX_PAYLOAD_BYTES": (
        "4194304",
        "a payload with more bytes of JSON is not fetched, and fails its job; at most 16777216",
    ),
    "JOBTIDE_ERROR_DETAIL": (
        "frames",
        "what a stored error holds: message, frames (and file:line in function), full (and paths, source lines)",
    ),
    "JOBTIDE_POLL_SECONDS": (
        "",
        "the longest wait between two polls of an empty queue; empty: 1 where an INSERT wakes the worker, else 0.15",
    ),
    "JOBTIDE_HTTP_PORT": ("8080", "port of /livez, /readyz and /metrics; 0: none"),
    "JOBTIDE_HTTP_HOST": ("", "address on which that port listens; empty: all"),
    "JOBTIDE_LOG_LEVEL": ("info", "debug (each job), info, warning or error"),
    "JOBTIDE_POOL": ("", "namespace/name of the pool, for logs"),
    "JOBTIDE_POD_UID": (
        "",
        "UID of this pod, part of every claim token; empty: a random one, never rescued by UID",
    ),
    "JOBTIDE_POD_NAME": ("", "name of this pod, for logs"),
}


def from_environment(
    environment: Mapping[str, str] = os.environ, *, app: str | None = None, programs: Sequence[str] = ()
) -> Settings:
    """Raises SettingsError that names the variable, its value and what is expected."""
    read = _Reader(environment)
    url, file = read.text("JOBTIDE_DATABASE_URL"), read.text("JOBTIDE_DATABASE_URL_FILE")
    if not url and not file:
        raise SettingsError(
            "no database: set JOBTIDE_DATABASE_URL to postgresql://user:password@host:port/database, "
            "or JOBTIDE_DATABASE_URL_FILE to a file that holds it"
        )
    _check_url(url, file)
    chosen = app or read.text("JOBTIDE_APP")
    runs = (*read.programs("JOBTIDE_EXEC"), *_programs_of_flags(programs))
    if not chosen and not runs:
        raise SettingsError(
            "no application: give module:attribute, as in `jobtide worker acme.jobs:tide`, or set JOBTIDE_APP; "
            "or name a program, as in `jobtide worker --exec 'thumbs=node thumb.js'`"
        )
    base_seconds = read.number("JOBTIDE_RETRY_BASE_SECONDS", at_least=0)
    return Settings(
        app=chosen,
        programs=runs,
        database_url=url or None,
        database_url_file=Path(file) if file else None,
        types=read.types("JOBTIDE_TYPES"),
        concurrency=read.whole("JOBTIDE_CONCURRENCY", at_least=1),
        prefetch=read.whole("JOBTIDE_PREFETCH", at_least=0),
        lease_seconds=read.number("JOBTIDE_LEASE_SECONDS", at_least=1, at_most=_LONGEST_LEASE_SECONDS),
        drain_seconds=read.number("JOBTIDE_DRAIN_SECONDS", at_least=0),
        retry=RetryPolicy(
            max_attempts=read.whole("JOBTIDE_MAX_ATTEMPTS", at_least=1),
            base_seconds=base_seconds,
            max_seconds=read.number("JOBTIDE_RETRY_MAX_SECONDS", at_least=base_seconds),
        ),
        caps=TenantCaps(
            read.optional_whole("JOBTIDE_TENANT_MAX_CONCURRENT", at_least=0),
            read.overrides("JOBTIDE_TENANT_OVERRIDES"),
        ),
        promises=read.promises("JOBTIDE_PROMISES"),
        max_result_bytes=read.whole("JOBTIDE_MAX_RESULT_BYTES", at_least=2),
        max_payload_bytes=read.whole("JOBTIDE_MAX_PAYLOAD_BYTES", at_least=2, at_most=MOST_PAYLOAD_BYTES),
        error_detail=cast("ErrorDetail", read.one_of("JOBTIDE_ERROR_DETAIL", get_args(ErrorDetail))),
        poll_seconds=read.optional_number("JOBTIDE_POLL_SECONDS", at_least=0.01),
        listen=bool(environment.get("JOBTIDE_LISTEN", "").strip().strip("0")),
        http_host=read.text("JOBTIDE_HTTP_HOST"),
        http_port=read.whole("JOBTIDE_HTTP_PORT", at_least=0, at_most=65_535),
        log_level=read.one_of("JOBTIDE_LOG_LEVEL", ("debug", "info", "warning", "error")),
        pool=read.text("JOBTIDE_POOL"),
        pod_uid=read.pod_uid("JOBTIDE_POD_UID"),
        pod_name=read.text("JOBTIDE_POD_NAME"),
    )


def _check_url(url: str, file: str) -> None:
    """Raises SettingsError for a malformed URL. A file that does not exist may still be mounted."""
    from jobtide.queue.session import url_source

    with contextlib.suppress(OSError):
        url_source(url, Path(file) if file else None)()


def _programs_of_flags(flags: Sequence[str]) -> tuple[Program, ...]:
    if not flags:
        return ()
    from jobtide.programs.handler import parse_flag

    try:
        return tuple(parse_flag(flag) for flag in flags)
    except ValueError as wrong:
        raise SettingsError(f"--exec {wrong}") from None


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str:
        return (self._environment.get(name) or VARIABLES[name][0]).strip()

    def whole(self, name: str, *, at_least: int, at_most: int | None = None) -> int:
        expected = f"a whole number of at least {at_least}" + ("" if at_most is None else f" and at most {at_most}")
        return self._parsed(
            name, int, expected, lambda value: at_least <= value and (at_most is None or value <= at_most)
        )

    def optional_whole(self, name: str, *, at_least: int) -> int | None:
        return self.whole(name, at_least=at_least) if self.text(name) else None

    def number(self, name: str, *, at_least: float, at_most: float = _MOST) -> float:
        return self._parsed(
            name, float, f"a number from {at_least:g} to {at_most:g}", lambda value: at_least <= value <= at_most
        )

    def optional_number(self, name: str, *, at_least: float) -> float | None:
        return self.number(name, at_least=at_least) if self.text(name) else None

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str:
        return self._parsed(name, str.lower, "one of " + ", ".join(allowed), lambda value: value in allowed)

    def types(self, name: str) -> tuple[str, ...] | None:
        if not self.text(name):
            return None

        def parse(text: str) -> tuple[str, ...]:
            value = json.loads(text)
            if not (isinstance(value, list) and value and all(isinstance(item, str) and item for item in value)):
                raise ValueError
            return tuple(dict.fromkeys(value))

        return self._parsed(name, parse, 'a JSON array of job types, as in ["a", "b"]', bool)

    def overrides(self, name: str) -> dict[UUID, int]:
        if not self.text(name):
            return {}

        def parse(text: str) -> dict[UUID, int]:
            value = json.loads(text)
            if not isinstance(value, dict) or not all(type(limit) is int and limit >= 0 for limit in value.values()):
                raise ValueError
            return {UUID(tenant): limit for tenant, limit in value.items()}

        return self._parsed(name, parse, 'a JSON object of tenant UUID to a whole number, as in {"<uuid>": 64}', bool)

    def promises(self, name: str) -> dict[str, float]:
        if not self.text(name):
            return {}

        def parse(text: str) -> dict[str, float]:
            value = json.loads(text)
            if not isinstance(value, dict) or not all(type(one) in {int, float} for one in value.values()):
                raise ValueError
            return {type_: float(seconds) for type_, seconds in value.items()}

        expected = 'a JSON object of job type to seconds from 0.1 to 1e+09, as in {"thumbs": 30}'
        return self._parsed(
            name, parse, expected, lambda value: all(_SHORTEST_PROMISE <= one <= _MOST for one in value.values())
        )

    def programs(self, name: str) -> tuple[Program, ...]:
        if not self.text(name):
            return ()
        from jobtide.programs.handler import parse_setting

        try:
            return parse_setting(self.text(name))
        except ValueError as wrong:
            raise SettingsError(f"{name}={self.text(name)!r}: {wrong}") from None

    def pod_uid(self, name: str) -> str:
        # `local-` marks a process that is no pod: the controller must never rescue its jobs as those of a dead pod.
        expected = "a pod's UID, which has no colon"
        given = self._parsed(name, str, expected, lambda value: ":" not in value) if self.text(name) else ""
        return given or f"local-{secrets.token_hex(8)}"

    def _parsed(self, name: str, parse: Callable[[str], Value], expected: str, fits: Callable[[Value], bool]) -> Value:
        text = self.text(name)
        try:
            value = parse(text)
        except ValueError:
            raise SettingsError(f"{name}={text!r}: expected {expected}") from None
        if not fits(value):
            raise SettingsError(f"{name}={text!r}: expected {expected}")
        return value
