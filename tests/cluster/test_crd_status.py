"""Tests the rendered status and Deployment on a real API server: accepted completely, and stable."""

from __future__ import annotations

import json
import subprocess
from typing import Any
from uuid import UUID

import pytest

from dev.tools.toolchain import ensure_tools
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.fleet import Fleet
from jobtide_controller.decide.history import History, Learned
from jobtide_controller.decide.limits import Limit, with_limits
from jobtide_controller.decide.reading import Depth, Key, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.scaling import decide
from jobtide_controller.render import deployment, status
from jobtide_controller.render.facts import Context
from tests.cluster.controllers import until

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


def _render(
    stored: dict[str, Any], reading: Reading | Unreadable, now: float, context: Context | None = None
) -> dict[str, Any]:
    pool = JobWorkerPool.model_validate(stored)
    fleet = Fleet(current_replicas=3)
    decision = decide(pool.spec, reading, fleet, LEARNED, now)
    return status.render(pool, reading, fleet, decision, context or Context(), stored.get("status"), now)


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


def test_a_pool_with_all_kinds_of_limits_at_once_has_a_status_that_is_stored_completely(kubectl, pool):
    """64 types with promises of their own, 200 limits of tenants and 16 open windows."""
    types = [f"type.{number}" for number in range(64)]
    tenants = [str(UUID(int=number)) for number in range(200)]
    limit = {"maxConcurrent": 3, "weight": 5, "until": "2030-01-01T00:00:00Z"}
    window = {"cron": "0 * * * *", "durationSeconds": 3_600, "maxReplicas": 0, "maxWaitSeconds": 5}
    kubectl.apply(
        pool(
            types=types,
            promises={type_: number + 1 for number, type_ in enumerate(types)},
            tenants={
                "overrides": dict.fromkeys(tenants[:100], 0),
                "limits": dict.fromkeys(tenants[100:], limit),
            },
            schedules=[{**window, "name": f"window-{number}"} for number in range(16)],
        )
    )
    stored = kubectl.get("jwp", "thumbs")
    due = Depth(due=8_140, running=92, oldest_age_seconds=192.5, mean_age_seconds=90, capped=True)
    reading = Reading(NOW, {Key(type_, tenant): due for type_ in types for tenant in tenants[50:150]})
    spec = with_limits(JobWorkerPool.model_validate(stored).spec, {Key(types[0], tenants[0]): Limit(0)}, reading)
    made = JobWorkerPool.model_validate(stored).model_copy(update={"spec": spec})
    decision = decide(spec, reading, Fleet(current_replicas=3), LEARNED, NOW)
    written = status.render(made, reading, Fleet(current_replicas=3), decision, Context(limits_view=True), None, NOW)
    patch = json.dumps({"status": written})
    assert len(patch) < 32_000
    kubectl("patch", "jwp/thumbs", "--subresource=status", "--type=merge", "-p", patch)
    assert kubectl.get("jwp", "thumbs")["status"] == written


def test_kubectl_wait_works_on_conditions_and_totals(kubectl, pool):
    kubectl.apply(pool())
    written = _render(kubectl.get("jwp", "thumbs"), Reading(NOW, {}), NOW)
    kubectl("patch", "jwp/thumbs", "--subresource=status", "--type=merge", "-p", json.dumps({"status": written}))
    kubectl("wait", "jwp/thumbs", "--for=condition=Ready", "--timeout=60s")
    kubectl("wait", "jwp/thumbs", "--for=jsonpath={.status.pending}=0", "--timeout=60s")


def test_helm_waits_for_a_controller_to_see_the_pool_and_fails_with_one_that_is_stalled(kubectl, pool, tmp_path):
    """Helm 4 and Flux ask the same library, kstatus."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("{apiVersion: v2, name: pools, version: 0.1.0}")
    (tmp_path / "templates/pool.yaml").write_text(json.dumps(pool()))

    def upgrade(seconds: int) -> subprocess.CompletedProcess[str]:
        cluster = f"--kubeconfig={kubectl.kubeconfig}", f"--namespace={kubectl.namespace}"
        command = ["upgrade", "--install", "pools", tmp_path, "--wait", f"--timeout={seconds}s", *cluster]
        return subprocess.run([ensure_tools("helm")["helm"], *command], text=True, capture_output=True, check=False)

    def report(context: Context) -> None:
        written = _render(kubectl.get("jwp", "thumbs"), Reading(NOW, {}), NOW, context)
        kubectl("patch", "jwp/thumbs", "--subresource=status", "--type=merge", "-p", json.dumps({"status": written}))

    # Again, since a second is short where the machine has other work: Helm may end before its first look.
    until(lambda: "status: InProgress, message: JobWorkerPool generation is 1, but latest" in upgrade(1).stderr)
    report(Context())
    assert upgrade(20).returncode == 0
    report(Context(conflict="Deployment thumbs-worker is another's"))
    until(lambda: "Deployment thumbs-worker is another's" in upgrade(1).stderr)


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
