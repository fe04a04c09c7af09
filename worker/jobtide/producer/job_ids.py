"""Job ids that hold the key of their job: the table has no column for it, and none is added.

The first 24 bits are a digest of the tenant, those up to bit 96 a digest of the key, the last 32 a number: the ids of
one key are one range of the primary key, in the order of their numbers. The form is UUID version 8 (RFC 9562), so no
random id is ever in such a range. The policy of schema/sql/60_tenant_walls.sql compares the tenant's digest: a tenant's
user can compute another tenant's ids, but not insert them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal
from uuid import UUID

NUMBER_BITS = 32


@dataclass(frozen=True, slots=True)
class Key:
    """All ids of one key. 66 bits of its digest: two of a tenant's million share a range with 7e-9."""

    prefix: int  # the first 96 bits

    def id(self, number: int) -> UUID:
        """Returns the id with this number, which is at least 0 and below 2^32."""
        return UUID(int=self.prefix << NUMBER_BITS | number)

    @property
    def first_id(self) -> UUID:
        return self.id(0)

    @property
    def last_id(self) -> UUID:
        return self.id((1 << NUMBER_BITS) - 1)

    @property
    def lock(self) -> int:
        """A signed 64-bit number, as PostgreSQL's advisory locks are named."""
        return int.from_bytes(self.prefix.to_bytes(12)[4:], signed=True)


def key_of(kind: Literal["unique", "cron"], tenant_id: UUID, type_: str, name: str) -> Key:
    """Returns the key of a unique job or of a schedule, a digest of all four values.

    `name` is what the caller chose: the unique key, or the name of the schedule. Two kinds never share an id.
    """
    text = json.dumps([kind, str(tenant_id), type_, name])
    digest = bytearray(sha256(str(tenant_id).encode()).digest()[:3] + sha256(text.encode()).digest()[:9])
    digest[6] = digest[6] & 0x0F | 0x80  # version 8
    digest[8] = digest[8] & 0x3F | 0x80  # the variant of RFC 9562
    return Key(int.from_bytes(digest))


def key_of_id(id_: UUID) -> Key:
    """Returns the key that an id holds; for a random id it is one that `key_of` never returns."""
    return Key(id_.int >> NUMBER_BITS)
