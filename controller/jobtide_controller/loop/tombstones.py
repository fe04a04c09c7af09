"""UIDs of deleted objects: a list or an event from before the deletion must not bring them back."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")

# Objects that are deleted while a full list arrives, page by page over some seconds, are among these. Jobs of a deleted
# pod are requeued at the next reading of their database, which may be hours away.
KEPT = 20_000


class Tombstones(Generic[Value]):
    """The last KEPT deleted objects, each with a value. Kubernetes uses no UID twice."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, Value | None] = OrderedDict()

    def __contains__(self, uid: str) -> bool:
        return uid in self._values

    def add(self, uid: str, value: Value | None = None) -> None:
        """A UID that is here already keeps its first value."""
        self._values.setdefault(uid, value)
        while len(self._values) > KEPT:
            self._values.popitem(last=False)

    def get(self, uid: str) -> Value | None:
        return self._values.get(uid)
