"""The chart's admission policy on a real API server, beside Kubernetes' own Pod Security admission."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.tools.toolchain import ensure_tools
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.render.deployment import deployment_template_apply
from tests.cluster.controllers import until

CHART = Path(__file__).parents[2] / "charts/jobtide"
KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def template(*more: dict[str, Any], pod: dict[str, Any] | None = None, **worker: Any) -> dict[str, Any]:
    """A pool's template: of the pod, of the worker, and further containers."""
    spec = {"containers": [{"name": "worker", "image": "i", **worker}, *more], **(pod or {})}
    return {"spec": spec}


def context(**fields: Any) -> dict[str, Any]:
    return template(securityContext=fields)


def sidecar(**fields: Any) -> dict[str, Any]:
    return {"name": "proxy", "image": "i", "securityContext": fields}


TEMPLATES = {
    "as small as can be": template(),
    "host network": template(pod={"hostNetwork": True}),
    "host network that is off": template(pod={"hostNetwork": False}),
    "host processes": template(pod={"hostPID": True}),
    "host IPC": template(pod={"hostIPC": True}),
    "privileged": context(privileged=True),
    "not privileged": context(privileged=False),
    "a sidecar without settings": template(sidecar()),
    "a restricted sidecar": template(sidecar(**RESTRICTED)),
    "a privileged sidecar": template(sidecar(privileged=True)),
    "a privileged init container": template(pod={"initContainers": [sidecar(privileged=True)]}),
    "a restricted init container": template(pod={"initContainers": [sidecar(**RESTRICTED)]}),
    "a path of the host": template(pod={"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}),
    "an empty folder": template(pod={"volumes": [{"name": "tmp", "emptyDir": {}}]}),
    "a network file system": template(pod={"volumes": [{"name": "n", "nfs": {"server": "x", "path": "/"}}]}),
    "a Secret": template(pod={"volumes": [{"name": "s", "secret": {"secretName": "any"}}]}),
    "a port of the host": template(ports=[{"containerPort": 80, "hostPort": 80}]),
    "a port of the pod": template(ports=[{"containerPort": 80}]),
    "another host's probe": template(livenessProbe={"httpGet": {"path": "/", "port": 80, "host": "10.0.0.1"}}),
    "another host's hook": template(lifecycle={"preStop": {"tcpSocket": {"port": 80, "host": "10.0.0.1"}}}),
    "root": context(runAsUser=0),
    "root of the whole pod": template(pod={"securityContext": {"runAsUser": 0}}),
    "another user": context(runAsUser=1000),
    "root is possible": context(runAsNonRoot=False),
    "root is possible in the pod": template(pod={"securityContext": {"runAsNonRoot": False}}),
    "no root in the worker alone": template(
        pod={"securityContext": {"runAsNonRoot": False}}, securityContext={"runAsNonRoot": True}
    ),
    "escalation": context(allowPrivilegeEscalation=True),
    "a dangerous capability": context(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    "a usual capability": context(capabilities={"drop": ["ALL"], "add": ["CHOWN"]}),
    "a low port": context(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
    "capabilities that stay": context(capabilities={}),
    "one capability dropped": context(capabilities={"drop": ["CHOWN"]}),
    "seccomp off": context(seccompProfile={"type": "Unconfined"}),
    "seccomp off in the pod": template(pod={"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
    "seccomp of the node": context(seccompProfile={"type": "Localhost", "localhostProfile": "x"}),
    "AppArmor off": context(appArmorProfile={"type": "Unconfined"}),
    "a type of SELinux": context(seLinuxOptions={"type": "container_t"}),
    "a free type of SELinux": context(seLinuxOptions={"type": "spc_t"}),
    "a user of SELinux": context(seLinuxOptions={"user": "x"}),
    "all of /proc": template(pod={"hostUsers": False}, securityContext={"procMount": "Unmasked"}),
    "a safe sysctl": template(
        pod={"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}
    ),
    "an unsafe sysctl": template(pod={"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
}


@pytest.fixture
def install(kubectl):
    """Applies the chart's policy to the namespace of this test; returns when it is in force."""
    applied: list[str] = []

    def apply(refused, *arguments, **values):
        helm = ensure_tools("helm")["helm"]
        chosen = {"enabled": True, "requireDeploymentRights": False, **values}
        command = [helm, "template", "tide", str(CHART), f"--namespace={kubectl.namespace}", "--kube-version=1.37.2"]
        command += [f"--set-json=admissionPolicy={json.dumps(chosen)}"]
        command += [f"--set-json=watchNamespaces={json.dumps([kubectl.namespace])}"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        manifests = [one for one in yaml.safe_load_all(text) if one and one["kind"] in KINDS]
        assert [one["kind"] for one in manifests] == list(KINDS)
        for manifest in manifests:
            done = kubectl.apply(manifest)
            assert done.returncode == 0, done.stderr
            assert "warning" not in done.stderr.lower()
            applied.append(f"{manifest['kind']}/{manifest['metadata']['name']}")
        until(lambda: kubectl.apply(refused, "--dry-run=server", *arguments).returncode != 0)

    yield apply
    for name in reversed(applied):
        kubectl.run("delete", name)


def pod_of(pool: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The pod that a worker of this pool would be."""
    raw = copy.deepcopy(pool)
    raw["metadata"] |= {"namespace": namespace, "uid": "u"}
    made = deployment_template_apply(JobWorkerPool.model_validate(raw))["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **made["metadata"]}, "spec": made["spec"]}


@pytest.mark.parametrize("level", ["restricted", "baseline"])
def test_policy_and_pod_security_admission_agree_on_every_template(level, install, kubectl, pool):
    install(pool(template=TEMPLATES["privileged"]), podSecurity=level)
    kubectl("label", "namespace", kubectl.namespace, f"pod-security.kubernetes.io/enforce={level}")
    kubectl.run("create", "serviceaccount", "default")
    verdicts, refusals = {}, {}
    for name, chosen in TEMPLATES.items():
        made = pool(template=chosen)
        asked = kubectl.apply(made, "--dry-run=server")
        runs = kubectl.apply(pod_of(made, kubectl.namespace), "--dry-run=server")
        verdicts[name] = (asked.returncode == 0, runs.returncode == 0)
        refusals[name] = (asked.stderr, runs.stderr)
        for error in refusals[name]:
            assert not error or "does not allow" in error or "violates PodSecurity" in error
    differ = {name: refusals[name] for name, (policy, security) in verdicts.items() if policy != security}
    differ.pop("all of /proc", None)  # in a user namespace, newer releases of Kubernetes allow it; the policy does not
    assert not verdicts["all of /proc"][0]
    assert differ == {}
    assert {policy for policy, _ in verdicts.values()} == {True, False}


def test_policy_refuses_what_is_no_template_and_names_the_field(install, kubectl, pool):
    install(pool(template=TEMPLATES["privileged"]), podSecurity="restricted")
    for wrong in ({"privileged": "yes"}, {"privileged": None}, {"capabilities": None}, {"runAsUser": "0"}):
        done = kubectl.apply(pool(template=context(**wrong)), "--server-side", "--dry-run=server")
        assert done.returncode != 0, wrong
    done = kubectl.apply(pool(template=TEMPLATES["privileged"]))
    assert "spec.template: the Pod Security level restricted does not allow privileged containers" in done.stderr


def test_null_is_an_empty_list_as_in_any_deployment(install, kubectl, pool):
    install(pool(template=TEMPLATES["privileged"]), podSecurity="restricted")
    nulls = template(pod={"initContainers": None, "volumes": None}, ports=None, env=None, volumeMounts=None)
    done = kubectl.apply(pool(template=nulls), "--server-side", "--dry-run=server")
    assert done.returncode == 0, done.stderr


def test_pool_that_is_older_than_the_policy_can_be_changed_but_not_its_template(install, kubectl, pool):
    old = pool(template=TEMPLATES["privileged"])
    assert kubectl.apply(old).returncode == 0
    install(pool("other", template=TEMPLATES["privileged"]), podSecurity="baseline")
    assert kubectl.apply({**old, "spec": {**old["spec"], "paused": True}}).returncode == 0
    assert kubectl.run("scale", "jobworkerpool/thumbs", "--replicas=3").returncode == 0
    assert kubectl.apply(pool(template=TEMPLATES["host network"])).returncode != 0
    assert kubectl.apply(pool(template=TEMPLATES["root"])).returncode == 0


def test_user_without_rights_to_deployments_makes_no_pool(install, kubectl, pool):
    account = f"system:serviceaccount:{kubectl.namespace}:user"
    kubectl("create", "role", "pools", "--verb=get,create,patch,delete", "--resource=jobworkerpools.jobtide.dev")
    kubectl("create", "role", "deployments", "--verb=create,update", "--resource=deployments.apps")
    kubectl("create", "rolebinding", "pools", "--role=pools", f"--serviceaccount={kubectl.namespace}:user")
    install(pool(), f"--as={account}", podSecurity="privileged", requireDeploymentRights=True)
    refused = kubectl.apply(pool(), f"--as={account}")
    assert "needs the right to create and update Deployments in its namespace" in refused.stderr
    kubectl("create", "rolebinding", "deployments", "--role=deployments", f"--serviceaccount={kubectl.namespace}:user")
    until(lambda: kubectl.apply(pool(), f"--as={account}").returncode == 0)
