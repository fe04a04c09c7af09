"""Hundreds of pools change at once: each gets its workers, and a pool with waiting jobs comes before the rest."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster.controllers import replicas_of, until

POOLS = 200
LATE = "late"


def create(kubectl: Any, manifests: list[dict[str, Any]]) -> None:
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))


def test_a_pool_with_waiting_jobs_overtakes_hundreds_of_new_pools(controller, proxy, kubectl, pool, insert, jobs):
    way = proxy("jobtide-0")
    create(kubectl, [pool(LATE, types=[LATE])])
    controller(KUBECONFIG=str(way.kubeconfig))
    until(lambda: replicas_of(kubectl, LATE) == 0)
    names = [f"pool-{number}" for number in range(POOLS)]
    create(kubectl, [pool(name, types=[name]) for name in names])
    until(lambda: len(way.scaled) > 30)
    insert(8, type_=LATE)
    inserted_after = len(way.scaled)
    late = f"{LATE}-worker"
    until(lambda: any(name == late and number for name, number in way.scaled))
    place = next(at for at, (name, number) in enumerate(way.scaled) if name == late and number)
    assert place < inserted_after + 100, "those in flight, and what was refused"
    assert len({name for name, _ in way.scaled[:place]}) < POOLS, "others were still waiting"
    expected = {f"{name}-worker" for name in names}
    until(lambda: expected <= {name for name, _ in way.scaled}, 120)
    for name in names:
        insert(8, type_=name)
    until(lambda: expected <= {name for name, number in way.scaled if number}, 120)
    last = dict(way.scaled)
    assert {name for name in expected if last[name] == 0} == set()
