"""Which running rows of a reading are believed: those that a worker of the pool can hold.

Every column of a row may be what a tenant wrote. Workers are known from the cluster, so a forged row can claim to run,
but not where no worker is, and not more of them than the worker has slots. docs/adr/2026-11-28-forged-rows.md has the
alternatives.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from jobtide_controller.decide.reading import Depth, Key, PodRun, Reading

_NOTHING = Depth()


def believed(reading: Reading, holders: AbstractSet[str], slots: int) -> Reading:
    """The reading with the running rows of these workers alone, for each at most its slots.

    A row of another holder whose lease is over counts as due: any worker requeues it.
    """
    pods = {uid: _within_slots(run, slots) for uid, run in reading.pods.items() if uid in holders}
    if len(pods) == len(reading.pods) and all(pods[uid] is run for uid, run in reading.pods.items()):
        return reading
    depths = dict(reading.depths)
    for uid, run in reading.pods.items():
        is_holder = uid in pods
        kept = pods[uid].running if is_holder else {}
        for key, count in run.running.items():
            due = 0 if is_holder else run.lapsed.get(key, 0)
            _move(depths, key, doubted=count - kept.get(key, 0), due=due)
    return replace(reading, depths=depths, pods=pods)


def _move(depths: dict[Key, Depth], key: Key, *, doubted: int, due: int) -> None:
    depth = depths.get(key)
    if depth is None or not (doubted or due):
        return
    changed = replace(depth, running=max(0, depth.running - doubted), due=depth.due + due)
    if changed == _NOTHING:
        del depths[key]
    else:
        depths[key] = changed


def _within_slots(run: PodRun, slots: int) -> PodRun:
    """Each tenant its fair part of the slots, so that no number of rows of one hides those of another.

    4 slots, 1,000 rows of one tenant and 1 of another: 3 and 1.
    """
    if run.jobs <= slots:
        return run
    kept: dict[Key, int] = {}
    left, waiting = slots, len(run.running)
    for key, count in sorted(run.running.items(), key=lambda item: item[1]):
        part = min(count, -(-left // waiting))
        if part:
            kept[key] = part
        left, waiting = left - part, waiting - 1
    return PodRun(kept, _lapsed(run.lapsed, kept))


def _lapsed(lapsed: Mapping[Key, int], kept: Mapping[Key, int]) -> dict[Key, int]:
    return {key: min(count, kept[key]) for key, count in lapsed.items() if key in kept}
