"""Connects to the database, and describes its errors without any part of a password.

libpq quotes parts of a URL that it can't parse, and a stray @ or / makes it take a part of the password for the host
or the database. So a URL is checked before libpq gets it, and every message about a URL is one of this file: it names
the wrong part and quotes nothing.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from jobtide.errors import SettingsError

_EXPECTED = "expected postgresql://user:password@host:5432/database"
_SCHEMES = ("postgresql://", "postgres://")
_OF_OTHERS = re.compile(
    r"(jdbc:postgresql|postgres(?:ql)?\+(?:psycopg|psycopg2|psycopg2cffi|asyncpg|pg8000|aiopg|py-?postgresql))://"
)
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_PARAMETER = re.compile(r"[a-zA-Z_]{1,40}")
_LARGEST_PORT = 65_535
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "gssencmode": ("disable", "prefer", "require"),
    "channel_binding": ("disable", "prefer", "require"),
}
_NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)


class DatabaseUrlWrong(SettingsError):  # noqa: N818 - a setting is wrong
    """The text is no PostgreSQL URL, or its file can't be decoded. The message quotes no part of it."""


def checked_url(text: str, source: str) -> str:
    """Returns the URL, or the keyword=value string, that libpq accepts. Raises DatabaseUrlWrong.

    `source` names the setting or file in the message.
    """
    fault = _fault(text)
    if fault is not None:
        raise DatabaseUrlWrong(f"{source} is no PostgreSQL URL: {fault}; {_EXPECTED}")
    return text


def url_of_file(path: Path, source: str) -> str:
    """Returns the URL in the file, without outer white space. Raises DatabaseUrlWrong, or OSError if there is no file.

    `source` names the file in the message.
    """
    try:
        text = path.read_bytes().decode().strip()
    except UnicodeDecodeError:
        raise DatabaseUrlWrong(f"{source} is not text in UTF-8: write the URL as plain text; {_EXPECTED}") from None
    return checked_url(text, source)


def connect(url: str, **options: Any) -> psycopg.Connection[Any]:
    """A connection with client_encoding UTF8, whatever the role or database is set to. `options` are psycopg's.

    client_encoding is one of the few startup parameters that poolers accept and keep for each client. Raises
    DatabaseUrlWrong, psycopg.Error, or OSError.
    """
    checked_url(url, "the database URL")
    try:
        return psycopg.connect(url, client_encoding="UTF8", **options)
    except (psycopg.ProgrammingError, ValueError):  # a value that psycopg, or the look-up of the host, refuses
        raise DatabaseUrlWrong(f"the database URL has a part with a value that can't be used; {_EXPECTED}") from None


def one_line(error: BaseException) -> str:
    """The error in one line: the server's message and hint; without DETAIL, which may hold the values of a row."""
    diagnostics = error.diag if isinstance(error, psycopg.Error) else None
    if diagnostics is not None and diagnostics.message_primary:
        text = "; ".join(filter(None, (diagnostics.message_primary, diagnostics.message_hint)))
    else:
        text = str(error)
    return " ".join(text.split()) or type(error).__name__


def _fault(text: str) -> str | None:
    """What is wrong, in words that quote nothing but names of parameters; None if nothing is."""
    if not text or _SURROGATE.search(text):
        return "it is not text in UTF-8" if text else "it is empty"
    if text[0] in "'\"`" or (text.startswith(_SCHEMES) and text[-1] in "'\"`"):
        return "it is in quotes: remove them"
    if text.startswith(_SCHEMES):
        return _fault_of_url(text)
    other = _OF_OTHERS.match(text)
    if other is not None:
        return f"it begins with {other[1]}://, which only other libraries understand: write postgresql://"
    if "=" in text and "://" not in text and _parts(text) is not None:
        return _fault_of_values(_parts(text) or {})
    is_web = text.startswith(("http://", "https://"))
    return "it is an address of the web: copy the database's own" if is_web else "it does not begin with postgresql://"


def _fault_of_url(url: str) -> str | None:
    if _UNPRINTABLE.search(url):
        return "it has a space or line break inside: percent-encode it, as %20"
    if _STRAY_PERCENT.search(url):
        return "it has a % without two hexadecimal digits after it: write %25 for a % in the password"
    # As libpq splits it: the user and the password end at the first @, unless a / comes before it.
    rest = url.partition("://")[2]
    user_end = re.match(r"[^@/]*@", rest)
    server = rest[user_end.end() :] if user_end else rest
    place, _, query = server.partition("?")
    if "@" in place:
        return "its user or password has an @ or a /: percent-encode them, as %40 and %2F"
    if re.search(r"/[^/]*&\w+=", place):
        return "its parameters begin with an &: the first one follows a ?"
    fault = _fault_of_query(query)
    if fault is not None:
        return fault
    parts = _parts(url)
    return "libpq can't split it into its parts" if parts is None else _fault_of_values(parts)


def _fault_of_query(query: str) -> str | None:
    for parameter in query.split("&") if query else ():
        name, equals, _ = parameter.partition("=")
        if equals and (name in _known_parameters() or name == "ssl"):  # libpq reads ssl=true as sslmode=require
            continue
        if "@" in query or not _PARAMETER.fullmatch(name):
            return "a part after its ? is no parameter; if the password has an @, a / or a ?, percent-encode them"
        return f"its parameter {name} is {'none of libpq: remove it' if equals else 'without a value'}"
    return None


def _fault_of_values(parts: dict[str, Any]) -> str | None:
    ports = str(parts.get("port") or "").split(",")
    if not all(not port or (port.isdecimal() and 0 < int(port) <= _LARGEST_PORT) for port in ports):
        return (
            f"its port is no number from 1 to {_LARGEST_PORT}; if the password has an @, a / or a ?, "
            "percent-encode them, as %40, %2F and %3F"
        )
    for name, choices in _CHOICES.items():
        if parts.get(name) not in (None, "", *choices):
            return f"its parameter {name} is none of {', '.join(choices)}"
    for name in _NUMBERS:
        if not re.fullmatch(r"\s*-?\d{0,9}\s*", str(parts.get(name) or "")):
            return f"its parameter {name} is no whole number"
    return None


@cache
def _known_parameters() -> frozenset[str]:
    return frozenset(option.keyword.decode() for option in Conninfo.get_defaults())


def _parts(text: str) -> dict[str, Any] | None:
    try:
        return conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        return None
