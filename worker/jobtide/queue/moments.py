"""Loads timestamps in UTC, whatever the session's TimeZone and DateStyle are."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

from psycopg import DataError
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECONDS = struct.Struct("!q")


class MomentLoader(Loader):
    """timestamptz in binary format: microseconds since 2000."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        """Raises DataError for infinity, and for years that datetime can't hold."""
        (microseconds,) = _MICROSECONDS.unpack(data)
        try:
            return _EPOCH + timedelta(microseconds=microseconds)
        except OverflowError:
            raise DataError(f"timestamp out of datetime's range: {microseconds} microseconds since 2000") from None
