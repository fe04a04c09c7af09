"""Pods that we replace for reasons of our own: a new release renders the same pool differently.

Each pool gets it, a few at a time: thousands of pools that roll at once would fill the cluster with starting pods, and
a release whose workers don't come up would be everywhere before anybody has looked. What a user changes is applied at
once, and a number of replicas never waits for any of this.
"""

from __future__ import annotations

from collections.abc import Callable

from jobtide_controller.decide.fleet import Rollout

AT_ONCE = 5


class Rollouts:
    """Those that roll now, and those that wait for their turn, by pool UID. `wake` has a pool looked at again."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        self._wake = wake
        self._rolling: set[str] = set()
        self._waiting: dict[str, None] = {}

    def may_begin(self, uid: str) -> bool:
        """Whether it is this pool's turn; if not, it is woken when it may be."""
        if uid in self._rolling or len(self._rolling) < AT_ONCE:
            return True
        self._waiting[uid] = None
        return False

    def begin(self, uid: str) -> None:
        self._waiting.pop(uid, None)
        self._rolling.add(uid)

    def look(self, uid: str, rollout: Rollout) -> None:
        """One that is blocked for ten minutes, or paused by somebody, lets the next one try: its old workers go on."""
        if uid in self._rolling and (rollout.settled or rollout.deadline_exceeded or rollout.paused):
            self.end(uid)

    def end(self, uid: str) -> None:
        self._waiting.pop(uid, None)
        if uid not in self._rolling:
            return
        self._rolling.remove(uid)
        # More than one, for some may have nothing to roll any more.
        for next_uid in list(self._waiting)[:AT_ONCE]:
            del self._waiting[next_uid]
            self._wake(next_uid)
