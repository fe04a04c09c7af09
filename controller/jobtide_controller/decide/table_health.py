"""Which verdict on a table the pools show: one that lasts, since each change is a write of every pool's status."""

from __future__ import annotations

from dataclasses import dataclass

from jobtide.table_health import Verdict

LOOK_SECONDS = 30.0  # between two looks
LOOKS = 3  # that must agree


@dataclass(frozen=True, slots=True)
class Shown:
    """The verdict that the pools show, and the one that may follow it."""

    verdict: Verdict | None = None  # None: no look has ended yet
    coming: Verdict | None = None
    looks: int = 0  # that found it, one after the other

    def after(self, found: Verdict) -> Shown:
        """The first verdict is shown at once; another one, or that nothing can be read, after LOOKS looks in a row."""
        shown = self.verdict
        if found == shown or (shown is None and found.reason != "NotReadable"):
            return Shown(found)
        coming, known = self.coming, None if shown is None else shown.reason
        is_same = coming is not None and (found == coming or found.reason == coming.reason != known)
        looks = self.looks + 1 if is_same else 1
        return Shown(found) if looks >= LOOKS else Shown(shown, found, looks)
