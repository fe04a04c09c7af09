"""One reading handed out to its pools, looking at each key once and not at all keys for each pool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from jobtide_controller.decide.demand import Depth, Key, PodRun, Reading

PoolsOfType = Callable[[str], AbstractSet[str]]


@dataclass(frozen=True, slots=True)
class Slices:
    """By pool UID. A pool without jobs shares the one empty reading."""

    by_pool: dict[str, Reading]
    empty: Reading

    def of(self, uid: str) -> Reading:
        return self.by_pool.get(uid, self.empty)


def slices(reading: Reading, pools_of_type: PoolsOfType) -> Slices:
    depths: defaultdict[str, dict[Key, Depth]] = defaultdict(dict)
    running: defaultdict[str, defaultdict[str, dict[Key, int]]] = defaultdict(lambda: defaultdict(dict))
    for key, depth in reading.depths.items():
        for uid in pools_of_type(key.type):
            depths[uid][key] = depth
    for pod_uid, run in reading.pods.items():
        for key, count in run.running.items():
            for uid in pools_of_type(key.type):
                running[uid][pod_uid][key] = count
    by_pool = {
        uid: Reading(
            reading.taken_at,
            mine,
            {pod_uid: PodRun(counts) for pod_uid, counts in running[uid].items()} if uid in running else {},
            reading.query_seconds,
        )
        for uid, mine in depths.items()
    }
    return Slices(by_pool, Reading(reading.taken_at, {}, {}, reading.query_seconds))
