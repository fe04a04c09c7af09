"""docs/gitops.md is true: its check, run on statuses that the controller renders, and on those of unseen pools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import lupa.lua51
import pytest
import yaml

from jobtide_controller.api.crd import UNREPORTED
from jobtide_controller.decide.fleet import Fleet, Rollout
from jobtide_controller.decide.reading import Depth, Key
from jobtide_controller.kube.inventory.parse import SCALE_MANAGER, TEMPLATE_MANAGER
from jobtide_controller.kube.write import status_writer
from jobtide_controller.render.facts import Context
from jobtide_controller.render.trouble import Trouble, render_trouble
from tests.pages import GITOPS, ROOT, shown
from tests.unit.decide.builders import NOW, fleet
from tests.unit.plugin.pools import ACME, REFUSED, reported

PAGE = (ROOT / GITOPS).read_text()
TABLE = PAGE.partition("## What a pool reports")[2].partition("\n- ")[0]
LATE = {Key("thumbs", ACME): Depth(due=8_000, running=40, oldest_age_seconds=900, mean_age_seconds=400)}


def seen(depths: Any, workers: Fleet, **more: Any) -> dict[str, Any]:
    return reported(depths, workers, **more).model_dump(by_alias=True, exclude_none=True, mode="json")


def starting(**pod: Any) -> Fleet:
    workers = fleet(0, starting=1)
    return replace(workers, pods=(replace(workers.pods[0], **pod),))


STUCK = starting(cause="FailedMount: pod thumbs-worker-x: no", stuck=True)
NO_NODE = "Unschedulable: pod thumbs-worker-x: 0/3 nodes"


def unseen(**status: Any) -> dict[str, Any]:
    """A pool whose status is not of its spec."""
    found = seen({}, fleet(0))
    return {**found, "metadata": {**found["metadata"], "generation": 4}, "status": status or found["status"]}


def refused() -> dict[str, Any]:
    trouble = Trouble("InvalidSpec", "types: at least one is needed")
    made = render_trouble(trouble, generation=3, fleet=fleet(2), previous_status=None, now=NOW)
    return {**seen({}, fleet(0)), "status": made}


ROLLING = Context(rollout=Rollout(complete=False))
# As the table of the page has them: its row, the object, kstatus, and Argo CD with the check.
CASES = [
    ("has not seen the spec yet", unseen(**UNREPORTED), "InProgress", "Progressing"),
    ("has not seen the spec yet", unseen(), "InProgress", "Progressing"),
    ("works, at any number", seen({}, fleet(0)), "Current", "Healthy"),
    ("works, at any number", seen(LATE, fleet(40, busy=40)), "Current", "Healthy"),
    ("limited by", seen(LATE, fleet(3, busy=3), maxReplicas=3), "Current", "Healthy"),
    ("limited by", seen(LATE, fleet(3), replicas=3), "Current", "Healthy"),
    ("paused", seen(LATE, fleet(0), paused=True), "Current", "Suspended"),
    ("misses its promise", seen(LATE, fleet(3, busy=3), maxReplicas=3, maxWaitSeconds=1), "Current", "Healthy"),
    ("start, stop or are replaced", seen(LATE, fleet(3, starting=9)), "Current", "Healthy"),
    ("start, stop or are replaced", seen({}, fleet(3), context=ROLLING), "Current", "Healthy"),
    ("wait for a node", seen(LATE, starting(problem=NO_NODE)), "Current", "Healthy"),
    ("can't be read", seen(REFUSED, fleet(4)), "InProgress", "Progressing"),
    ("an invalid spec", seen({}, fleet(0), context=Context(conflict="not ours")), "Failed", "Degraded"),
    ("an invalid spec", seen(LATE, STUCK), "Failed", "Degraded"),
    ("an invalid spec", seen(LATE, starting(problem=NO_NODE, created_at=NOW - 600)), "Failed", "Degraded"),
    ("an invalid spec", refused(), "Failed", "Degraded"),
]
IDS = [f"{place}: {row}" for place, (row, *_) in enumerate(CASES)]


@pytest.mark.parametrize(("row", "found", "kstatus", "argo"), CASES, ids=IDS)
def test_the_table_says_what_kstatus_and_the_check_find(row, found, kstatus, argo):
    assert kstatus_of(found) == kstatus
    assert argo_of(found)["status"] == argo
    (line,) = [line for line in TABLE.splitlines() if row in line]
    *_, kstatus_cell, argo_cell = [cell.strip() for cell in line.strip("|").split("|")]
    assert kstatus in kstatus_cell
    assert argo in argo_cell


def kstatus_of(found: Mapping[str, Any]) -> str:
    """As Compute of sigs.k8s.io/cli-utils 0.37 decides about a custom resource that is not being deleted."""
    state = found.get("status", {})
    if state.get("observedGeneration", found["metadata"]["generation"]) != found["metadata"]["generation"]:
        return "InProgress"
    is_true = {one["type"]: one["status"] == "True" for one in state.get("conditions", ())}
    if is_true.get("Reconciling"):
        return "InProgress"
    if is_true.get("Stalled"):
        return "Failed"
    return "Current" if is_true.get("Ready", True) else "InProgress"


def argo_of(found: Mapping[str, Any]) -> dict[str, str]:
    """In Lua 5.1 with the libraries that Argo CD opens: base, table and a safe os."""
    lua = lupa.lua51.LuaRuntime(register_eval=False, unpack_returned_tuples=True)
    lua.execute("string, math, io, debug, os, python = nil")
    (script,) = yaml.safe_load(shown(GITOPS, "check of Argo CD"))["data"].values()
    health = lua.eval(f"function(obj)\n{script}\nend")(lua.table_from(found, recursive=True))
    return dict(health)


def test_the_message_of_the_check_says_why():
    assert argo_of(seen(REFUSED, fleet(4)))["message"].startswith("Unreachable: connection to db:5432 refused; ")
    assert argo_of(seen(LATE, STUCK))["message"] == "ConfigError: FailedMount: pod thumbs-worker-x: no"
    assert argo_of(unseen(**UNREPORTED))["message"] == "waiting for the Jobtide controller"


def test_flux_waits_for_the_pools_by_kstatus_alone():
    spec = yaml.safe_load(shown(GITOPS, "Kustomization of Flux"))["spec"]
    assert (spec["wait"], "healthCheckExprs" in spec) == (True, False)


def test_the_field_managers_of_the_page_are_all_that_there_are():
    assert set(re.findall(r"^\| `(jobtide-\w+)` \|", PAGE, re.MULTILINE)) == {
        SCALE_MANAGER,
        TEMPLATE_MANAGER,
        status_writer.MANAGER,
    }
