"""Which holders of claims are gone for certain, so that their jobs may go back to the queue now."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from jobtide_controller.decide.reading import Reading
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.kube.inventory.parse import GonePod
from jobtide_controller.kube.inventory.pods import Presence
from jobtide_controller.kube.inventory.tombstones import Tombstones
from jobtide_controller.postgres.database import RescueFailedError
from jobtide_controller.postgres.rescue import is_pod_uid
from jobtide_controller.telemetry.events import Emit, ForeignWorker, Rescued, RescueFailed

# How often a full list may be asked for because of pods that nobody here has seen.
LIST_SECONDS = 5.0


class RescueSource(Protocol):
    name: str

    async def rescue(self, gives_back: Mapping[str, bool]) -> dict[str, int]: ...


class Rescuer:
    """One database's. A pod is gone if it was seen to go; one that was never seen (it went while no controller ran) if
    a list that is newer than the reading does not have it. If such a pod claims again it lives in another cluster that
    works on the same database: then only pods that were seen to go are rescued from here on.
    """

    def __init__(
        self,
        source: RescueSource,
        presence_of: Callable[[str], GonePod | Presence],
        list_pod_uids: Callable[[], Awaitable[set[str]]],
        emit: Emit,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._whereabouts = presence_of
        self._list_pod_uids = list_pod_uids
        self._emit = emit
        self._monotonic = monotonic
        self._listed_at = -LIST_SECONDS
        self._elsewhere: set[str] = set()  # pods of this cluster that are not a pool's
        self._presumed: set[str] = set()  # never seen, not in the list, rescued
        self._cleared: Tombstones[None] = Tombstones()  # of those, the ones that a later reading did not have any more
        self._trusts_lists = True

    async def settle(self, reading: Reading) -> None:
        """Return the jobs of this reading's holders that are gone."""
        gone = self._seen_to_go(reading)
        unknown = self._unknown(reading)
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

    def _seen_to_go(self, reading: Reading) -> dict[str, bool]:
        found = {uid: self._whereabouts(uid) for uid in reading.pods}
        return {uid: state.gives_back for uid, state in found.items() if isinstance(state, GonePod)}

    def _unknown(self, reading: Reading) -> set[str]:
        for uid in self._presumed - reading.pods.keys():
            self._cleared.add(uid)
        self._presumed &= reading.pods.keys()
        self._elsewhere &= reading.pods.keys()
        holders = {uid for uid in reading.pods if is_pod_uid(uid) and uid not in self._elsewhere}
        unknown = {uid for uid in holders if self._whereabouts(uid) is Presence.UNKNOWN}
        back = sorted(uid for uid in unknown if uid in self._cleared)
        if back and self._trusts_lists:
            self._trusts_lists = False
            self._emit(ForeignWorker(self._source.name, back[0]))
        return unknown if self._trusts_lists else set()

    async def _presumed_gone(self, unknown: set[str]) -> dict[str, bool]:
        """The list is asked for after the reading, so a pod that it lacks did not live when it was read."""
        now = self._monotonic()
        if now - self._listed_at < LIST_SECONDS:
            return {}
        self._listed_at = now
        try:
            present = await self._list_pod_uids()
        except ApiError as error:
            self._emit(RescueFailed(self._source.name, f"the pods can't be listed: {error}"))
            return {}
        self._elsewhere |= {uid for uid in unknown & present if self._whereabouts(uid) is Presence.UNKNOWN}
        return dict.fromkeys(unknown - present, True)
