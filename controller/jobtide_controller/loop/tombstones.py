"""Objects that are gone, so that a list or an event from before can't bring them back: no UID is used twice."""

from __future__ import annotations

from collections import OrderedDict

# A full list takes seconds; what was deleted while it came in, page by page, is among these.
KEPT = 20_000


class Tombstones:
    def __init__(self) -> None:
        self._uids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, uid: str) -> bool:
        return uid in self._uids

    def add(self, uid: str) -> None:
        self._uids[uid] = None
        while len(self._uids) > KEPT:
            self._uids.popitem(last=False)
