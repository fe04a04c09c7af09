"""What one decision about one pool looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jobtide_controller.api.v1alpha1 import JobWorkerPoolSpec, Tenants
from jobtide_controller.decide.demand import Reading
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.history import History


@dataclass(frozen=True, slots=True)
class Situation:
    """The pool, its table, its workers and its past, as every formula takes them."""

    policy: JobWorkerPoolSpec
    reading: Reading
    fleet: Fleet
    history: History  # this reading included
    now: float  # the controller's clock; the reading has the database's


def slots_cap(tenants: Tenants, tenant_id: str | None) -> float:
    """Jobs at once that a tenant may have; those counted together have no limit."""
    cap = None if tenant_id is None else tenants.cap_of(tenant_id)
    return math.inf if cap is None else float(cap)
