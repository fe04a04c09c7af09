"""Limits how many pools replace their pods at the same time for a reason of our own: a new release renders differently.

Every pool rolls after such a release, a few at a time: thousands of pools that roll at once would fill the cluster with
starting pods, and a release whose workers don't start would be everywhere before a person can look. What a user changes
is applied at once, and a number of replicas never waits for any of this.
"""

from __future__ import annotations

from collections.abc import Callable

from jobtide_controller.decide.fleet import Rollout

MAX_ROLLING = 5


class Rollouts:
    """The pools that roll now and those that wait for a place, by UID, in one term of leadership.

    `wake` has a pool looked at again.
    """

    def __init__(self, wake: Callable[[str], None]) -> None:
        self._wake = wake
        self._rolling: set[str] = set()
        self._waiting: dict[str, None] = {}

    def may_begin(self, uid: str) -> bool:
        """Whether there is a place for this pool; if not, it is woken when there may be one."""
        if uid in self._rolling or len(self._rolling) < MAX_ROLLING:
            return True
        self._waiting[uid] = None
        return False

    def begin(self, uid: str) -> None:
        self._waiting.pop(uid, None)
        self._rolling.add(uid)

    def observe(self, uid: str, rollout: Rollout) -> None:
        """The pool has the newest template: it waits for no place, and frees its own once its rollout can't go on.

        A rollout that is blocked for ten minutes, or paused by a user, counts as over: its old workers go on.
        """
        self._waiting.pop(uid, None)
        if uid in self._rolling and (rollout.complete or rollout.deadline_exceeded or rollout.paused):
            self.end(uid)

    def end(self, uid: str) -> None:
        """Frees the pool's place, and wakes the first pools that wait for one."""
        self._waiting.pop(uid, None)
        if uid not in self._rolling:
            return
        self._rolling.remove(uid)
        # More than one, since some may have nothing to roll any more.
        for next_uid in list(self._waiting)[:MAX_ROLLING]:
            del self._waiting[next_uid]
            self._wake(next_uid)
