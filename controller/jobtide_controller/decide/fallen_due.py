"""Counts the rows that fell due between two readings, each once, whatever becomes of its attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from jobtide_controller.api.spec import Tenants
from jobtide_controller.decide import arrival_rate
from jobtide_controller.decide.history import Group, History
from jobtide_controller.decide.reading import OTHERS, Key, Reading


def group_of(tenants: Tenants, key: Key) -> Group:
    """The group whose arrivals the key's rows are counted in."""
    is_limited = cap_of(tenants, key.tenant_id) is not None or tenants.type_cap_of(key.type, key.tenant_id) is not None
    return Group(key.type, key.tenant_id if is_limited else None)


def cap_of(tenants: Tenants, tenant_id: str) -> int | None:
    """Jobs at once that this tenant may have. None for OTHERS: a tenant near its limit is never one of them."""
    return None if tenant_id == OTHERS else tenants.cap_of(tenant_id)


@dataclass(slots=True)
class FallenDue:
    """One group between two readings."""

    arrivals: int = 0
    later: int = 0  # change of the rows that are not due yet
    waiting: int = 0  # rows that are not due yet
    put_off_before: int = 0  # those that had been counted as due, at the earlier reading

    @property
    def rows(self) -> int:
        """Rows that fell due for the first time.

        1 arrived and 3 attempts failed: none, and 2 rows that were counted before are put off. When they return, they
        are not counted again.
        """
        return max(0, self.arrivals - self.later - self._returned)

    @property
    def put_off(self) -> int:
        """Never more than wait, so that a row that ended or never returns does not hide others."""
        return min(self.waiting, self.put_off_before - self._returned + max(0, self.later - self.arrivals))

    @property
    def _returned(self) -> int:
        return min(self.put_off_before, max(0, -self.later))


def fallen_due(tenants: Tenants, reading: Reading, history: History) -> Mapping[Group, FallenDue]:
    """Rows that fell due: new ones, and scheduled ones that became due. New scheduled rows don't count yet."""
    due: defaultdict[Group, FallenDue] = defaultdict(FallenDue)
    for key, depth in reading.depths.items():
        before = history.counts.get(key)
        group = group_of(tenants, key)
        due[group].arrivals += depth.arrivals
        due[group].waiting += depth.later
        if before is None and Key(key.type, OTHERS) in history.counts:
            group = Group(key.type, None)  # its scheduled rows were counted there
        due[group].later += depth.later - (0 if before is None else before.later)
    for key, count in history.counts.items():
        if key not in reading.depths:
            group = Group(key.type, None) if Key(key.type, OTHERS) in reading.depths else group_of(tenants, key)
            due[group].later -= count.later
    for group, put_off in history.put_off.items():
        due[group].put_off_before = put_off
    return due


def flow_with(due: Mapping[Group, FallenDue], reading: Reading, history: History) -> dict[Group, arrival_rate.Pieces]:
    """The history's flow with these rows."""
    assert history.read_at is not None
    flow = {
        group: arrival_rate.added(
            history.flow.get(group, ()),
            start=history.read_at,
            end=reading.taken_at,
            rows=due[group].rows if group in due else 0,
        )
        for group in {**history.flow, **due}
    }
    return {group: pieces for group, pieces in flow.items() if pieces}
