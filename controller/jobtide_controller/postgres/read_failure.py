"""Maps an error to its UnreadableReason: by SQLSTATE if the server sent one, by the message where libpq hides it."""

from __future__ import annotations

import re

import psycopg

from jobtide.database_errors import DatabaseUrlWrong
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


def classify(error: Exception) -> UnreadableReason:
    """The reason behind an error of connecting or of a statement."""
    if isinstance(error, NotConfiguredError | DatabaseUrlWrong):
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


def _by_sqlstate(sqlstate: str) -> UnreadableReason:
    known = _BY_SQLSTATE.get(sqlstate)
    if known is not None:
        return known
    # 08: connection exceptions; 57P: the server shuts down, has crashed or is still starting
    return UnreadableReason.UNREACHABLE if sqlstate.startswith(("08", "57P")) else UnreadableReason.QUERY_FAILED
