"""Maps an error to its UnreadableReason: by SQLSTATE if the server sent one, by the message where libpq hides it."""

from __future__ import annotations

import re
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from jobtide_controller.decide.reading import UnreadableReason
from jobtide_controller.postgres.urls import NotConfiguredError

_BY_SQLSTATE = {
    "28P01": UnreadableReason.AUTH_FAILED,
    "28000": UnreadableReason.AUTH_FAILED,
    "53300": UnreadableReason.TOO_MANY_CONNECTIONS,
    "57014": UnreadableReason.TIMEOUT,  # statement_timeout
    "55P03": UnreadableReason.TIMEOUT,  # lock_timeout
    "25P03": UnreadableReason.TIMEOUT,  # idle_in_transaction_session_timeout
    "42P01": UnreadableReason.TABLE_MISSING,
    "3F000": UnreadableReason.TABLE_MISSING,
    "42501": UnreadableReason.GRANT_MISSING,
    "42703": UnreadableReason.SCHEMA_WRONG,  # a column
    "42704": UnreadableReason.SCHEMA_WRONG,  # the enum
    "42804": UnreadableReason.SCHEMA_WRONG,
    "42883": UnreadableReason.SCHEMA_WRONG,  # an operator between types that aren't the seed's
    "22P02": UnreadableReason.SCHEMA_WRONG,  # a value of the enum
}

# A refused connection has no SQLSTATE. The order matters: a refusal by pg_hba.conf may mention encryption.
_BY_MESSAGE = (
    (
        re.compile(
            r"password authentication failed|authentication failed|no password supplied|pg_hba\.conf"
            r"|role .* does not exist|fe_sendauth",
            re.IGNORECASE,
        ),
        UnreadableReason.AUTH_FAILED,
    ),
    (
        re.compile(
            r"too many (clients|connections)|remaining connection slots|no more connections allowed", re.IGNORECASE
        ),
        UnreadableReason.TOO_MANY_CONNECTIONS,
    ),
    (re.compile(r"\bSSL\b|\bTLS\b|certificate", re.IGNORECASE), UnreadableReason.TLS_FAILED),
    (re.compile(r"permission denied", re.IGNORECASE), UnreadableReason.GRANT_MISSING),
    (re.compile(r"query_wait_timeout|query_timeout", re.IGNORECASE), UnreadableReason.TIMEOUT),  # PgBouncer
)


class BadUrlError(ValueError):
    """The text is not a PostgreSQL URL. The message does not repeat it: it may hold the password."""


def classify(error: Exception) -> UnreadableReason:
    """The reason behind an error of connecting or of a statement."""
    if isinstance(error, NotConfiguredError | BadUrlError):
        return UnreadableReason.NOT_CONFIGURED
    if isinstance(error, TimeoutError):
        return UnreadableReason.TIMEOUT
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    if sqlstate is not None:
        return _by_sqlstate(sqlstate)
    if not isinstance(error, psycopg.OperationalError | OSError):
        return UnreadableReason.QUERY_FAILED
    message = str(error)
    return next((reason for pattern, reason in _BY_MESSAGE if pattern.search(message)), UnreadableReason.UNREACHABLE)


def message_of(error: Exception, url: str | None) -> str:
    """The server's message on one line, without the password in any spelling."""
    message = " ".join(str(error).split()) or type(error).__name__
    password = _password(url)
    for spelling in {password, quote(password, safe=""), quote(password)} - {""}:
        message = message.replace(spelling, "***")
    return message


def checked_url(url: str, source: str) -> str:
    """The URL, if libpq can parse it. Raises BadUrlError: libpq's own message would quote the URL."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise BadUrlError(
            f"{source} holds no PostgreSQL URL; expected postgresql://user:password@host:5432/database, with "
            "special characters of the password percent-encoded"
        ) from None
    return url


def _by_sqlstate(sqlstate: str) -> UnreadableReason:
    known = _BY_SQLSTATE.get(sqlstate)
    if known is not None:
        return known
    # 08: connection exceptions; 57P: the server shuts down, has crashed or is still starting
    return UnreadableReason.UNREACHABLE if sqlstate.startswith(("08", "57P")) else UnreadableReason.QUERY_FAILED


def _password(url: str | None) -> str:
    if url is None:
        return ""
    try:
        return str(conninfo_to_dict(url).get("password") or "")
    except psycopg.ProgrammingError:
        return ""
