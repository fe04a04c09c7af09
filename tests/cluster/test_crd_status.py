"""Tests the rendered status and Deployment on a real API server: accepted completely, and stable."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.history import History, Learned
from jobtide_controller.decide.reading import Depth, Key, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.render import deployment, status
from jobtide_controller.render.facts import Context

NOW = 1_800_000_000.0
BUSY = Reading(
    NOW,
    {
        Key("thumbs", "0b54b2a4-7f0c-4d6a-9a54-6a3c0f3b1a10"): Depth(
            due=8_140, running=92, oldest_age_seconds=192.5, mean_age_seconds=90, capped=True
        )
    },
)
LEARNED = History(types={"thumbs": Learned(slot_seconds=1_234.5, jobs=999.9, ran_seconds=99)})


def _render(stored: dict[str, Any], reading: Reading | Unreadable, now: float) -> dict[str, Any]:
    pool = JobWorkerPool.model_validate(stored)
    fleet = Fleet(current_replicas=3)
    decision = decide(pool.spec, reading, fleet, LEARNED, now)
    return status.render(pool, reading, fleet, decision, Context(), stored.get("status"), now)


@pytest.mark.parametrize(
    "reading",
    [
        pytest.param(BUSY, id="busy"),
        pytest.param(Reading(NOW, {}), id="idle"),
        pytest.param(
            Unreadable(UnreadableReason.TIMEOUT, "canceling statement due to statement timeout", NOW), id="unreadable"
        ),
    ],
)
def test_stored_status_is_equal_to_the_written_one_and_is_not_written_again(kubectl, pool, reading):
    kubectl.apply(pool())
    written = _render(kubectl.get("jwp", "thumbs"), reading, NOW)
    patch = json.dumps({"status": written})
    kubectl("patch", "jwp/thumbs", "--subresource=status", "--type=merge", "-p", patch)
    stored = kubectl.get("jwp", "thumbs")
    assert stored["status"] == written
    assert _render(stored, reading, NOW + 60) == written


def test_kubectl_wait_works_on_conditions_and_totals(kubectl, pool):
    kubectl.apply(pool())
    written = _render(kubectl.get("jwp", "thumbs"), Reading(NOW, {}), NOW)
    kubectl("patch", "jwp/thumbs", "--subresource=status", "--type=merge", "-p", json.dumps({"status": written}))
    kubectl("wait", "jwp/thumbs", "--for=condition=Ready", "--timeout=5s")
    kubectl("wait", "jwp/thumbs", "--for=jsonpath={.status.pending}=0", "--timeout=5s")


def test_deployment_is_accepted_and_template_and_replicas_have_separate_managers(kubectl, pool):
    kubectl.apply(pool())
    stored = JobWorkerPool.model_validate(kubectl.get("jwp", "thumbs"))

    def apply(manager: str, manifest: dict[str, Any]) -> dict[str, Any]:
        kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=json.dumps(manifest))
        return kubectl.get("deployment", "thumbs-worker")

    apply("jobtide-scale", deployment.deployment_first_apply(stored, 3))
    first = apply("jobtide-template", deployment.deployment_template_apply(stored))
    again = apply("jobtide-template", deployment.deployment_template_apply(stored))
    assert first["spec"]["replicas"] == 3
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_pod_of_a_minimal_template_passes_the_restricted_standard(kubectl, pool):
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    kubectl.apply(pool())
    stored = JobWorkerPool.model_validate(kubectl.get("jwp", "thumbs"))
    template = deployment.deployment_template_apply(stored)["spec"]["template"]
    given = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": stored.spec.template["spec"]}
    ours = {**given, "metadata": {**template["metadata"], "name": "one"}, "spec": template["spec"]}
    refused = kubectl.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(given))
    assert 'violates PodSecurity "restricted' in refused.stderr
    kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(ours))
