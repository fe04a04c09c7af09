"""Finds the holders of claims that are certainly gone, and requeues their jobs at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from jobtide_controller.decide.reading import Reading
from jobtide_controller.loop.ports import GoneWorker, Presence, RescueFailedError, Source, Workers, WorkersUnlistedError
from jobtide_controller.loop.tombstones import Tombstones
from jobtide_controller.telemetry.events import Emit, ForeignWorker, Rescued, RescueFailed

# The pause between two full lists that unknown workers cause.
LIST_SECONDS = 5.0


class Rescuer:
    """The rescuer of one database.

    A worker is gone if its end was seen. One that was never seen, because it ended while no controller ran, is gone if
    a list that is newer than the reading does not have it. If such a worker claims again, it lives in another cluster
    that works on the same database, or a tenant forged its claim: from then on it is left to its leases, it alone.
    """

    def __init__(
        self, source: Source, workers: Workers, emit: Emit, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._workers = workers
        self._emit = emit
        self._monotonic = monotonic
        self._listed_at = -LIST_SECONDS
        self._elsewhere: set[str] = set()  # workers of this cluster that belong to no pool
        self._presumed: set[str] = set()  # never seen, not in the list, rescued
        self._cleared: Tombstones[None] = Tombstones()  # of those, the ones that a later reading does not have any more
        self._foreign: Tombstones[None] = Tombstones()  # rescued, and they claimed again

    async def rescue(self, reading: Reading) -> None:
        """Requeues the jobs of this reading's holders that are gone."""
        found = {uid: self._workers.presence_of(uid) for uid in reading.pods}
        gone = {uid: state.gives_back for uid, state in found.items() if isinstance(state, GoneWorker)}
        unknown = self._unknown({uid for uid, state in found.items() if state is Presence.UNKNOWN}, reading)
        if unknown:
            gone |= await self._presumed_gone(unknown)
        if not gone:
            return
        try:
            returned = await self._source.rescue(gone)
        except RescueFailedError as error:
            self._emit(RescueFailed(self._source.name, str(error)))
            return
        self._presumed |= unknown & returned.keys()
        for uid, jobs in returned.items():
            self._emit(Rescued(self._source.name, uid, jobs, gone[uid]))

    def _unknown(self, unknown: set[str], reading: Reading) -> set[str]:
        """Those of the unknown workers that a list may prove to be gone."""
        for uid in self._presumed - reading.pods.keys():
            self._cleared.add(uid)
        self._presumed &= reading.pods.keys()
        self._elsewhere &= reading.pods.keys()
        unknown = {uid for uid in unknown - self._elsewhere if uid not in self._foreign}
        for uid in sorted(uid for uid in unknown if uid in self._cleared):
            self._foreign.add(uid)
            self._emit(ForeignWorker(self._source.name, uid))
        return {uid for uid in unknown if uid not in self._foreign}

    async def _presumed_gone(self, unknown: set[str]) -> dict[str, bool]:
        """The list is requested after the reading, so a worker that it lacks did not live when it was read."""
        now = self._monotonic()
        if now - self._listed_at < LIST_SECONDS:
            return {}
        self._listed_at = now
        try:
            present = await self._workers.list_uids()
        except WorkersUnlistedError as error:
            self._emit(RescueFailed(self._source.name, str(error)))
            return {}
        self._elsewhere |= {uid for uid in unknown & present if self._workers.presence_of(uid) is Presence.UNKNOWN}
        return dict.fromkeys(unknown - present, True)
