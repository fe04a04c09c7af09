"""The values that the pages show are values of the chart, and do what the pages say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from dev.generate.alerts import ALERT_NAMES
from jobtide_controller.settings import Settings
from tests.pages import BLOCKS, INSTALL, OPERATIONS, PAGE, QUICKSTART, ROOT, commands, shown

PLACE = ["helm", "install", "jobtide", "charts/jobtide", "--namespace", "jobtide-system"]


def values(page: str, name: str) -> dict[str, Any]:
    return yaml.safe_load(shown(page, name))


def settings(rendering: Any) -> Settings:
    """As the controller reads them."""
    return Settings.from_env({name: value for name, value in rendering.environment.items() if isinstance(value, str)})


def volumes(rendering: Any) -> dict[str, Any]:
    return {volume["name"]: volume for volume in rendering.one("Deployment")["spec"]["template"]["spec"]["volumes"]}


@pytest.mark.parametrize(
    ("page", "name"), [(QUICKSTART, "install the controller"), (INSTALL, "build and install")], ids=["quick", "install"]
)
def test_the_release_runs_the_image_that_the_page_builds(helm, page, name):
    (command,) = [words for words in commands(shown(page, name)) if words[0] == "helm"]
    assert command[:6] == PLACE
    rendering = helm.render(_set(command[6:]))
    built = [words for block in BLOCKS[page] for words in commands(_shell(page, block)) if words[:2] == BUILD]
    assert rendering.container["image"] in [words[words.index("--tag") + 1] for words in built]


BUILD = ["docker", "build"]


def _shell(page: str, block: Any) -> str:
    return shown(page, block.name) if block.language == "sh" else ""


def _set(flags: list[str]) -> dict[str, str]:
    assert all(flag == "--set" for flag in flags[::2])
    return dict(value.split("=", 1) for value in flags[1::2])


def test_the_images_of_the_local_cluster_are_set_by_name_and_tag(helm):
    (flags,) = [line for line in (ROOT / INSTALL).read_text().splitlines() if "image.tag=TAG" in line]
    rendering = helm.render(_set(flags.split("`")[3].split()))
    assert rendering.container["image"] == "localhost/jobtide-controller:TAG"


def test_several_databases_are_several_secrets(helm):
    rendering = helm.render(values(INSTALL, "several databases"))
    secrets = [volume["secret"] for volume in volumes(rendering).values() if "secret" in volume]
    assert {secret["secretName"]: secret["items"][0]["key"] for secret in secrets} == {
        "jobtide-db": "url",
        "reports-db": "dsn",
    }


def test_teams_have_their_database_and_a_budget(helm):
    found = settings(helm.render(values(INSTALL, "several teams")))
    assert found.database_namespaces == {"main": ("media", "crm")}
    assert found.connection_budgets == {"main": 80}


def test_tenants_are_not_shown_unless_a_value_says_so(helm):
    assert settings(helm.render({})).show_tenants == ()


def test_the_policy_of_the_page_is_a_policy_with_its_binding(helm):
    rendering = helm.render(values(INSTALL, "admission policy"))
    policy = rendering.one("ValidatingAdmissionPolicy")
    assert rendering.one("ValidatingAdmissionPolicyBinding")["spec"]["policyName"] == policy["metadata"]["name"]
    assert "authorizer" in str(policy["spec"]["validations"])


def test_the_certificate_is_where_the_page_says(helm):
    rendering = helm.render(values(INSTALL, "own CA"))
    (secret,) = [volume["secret"] for volume in volumes(rendering).values() if "secret" in volume]
    (mount,) = [mount for mount in rendering.container["volumeMounts"] if "/databases/" in mount["mountPath"]]
    assert {"key": "ca.crt", "path": "ca.crt"} in secret["items"]
    assert f"sslrootcert={mount['mountPath']}/ca.crt`" in (ROOT / INSTALL).read_text()


def test_some_namespaces_have_a_role_each_and_no_cluster_role(helm):
    rendering = helm.render(values(INSTALL, "some namespaces"))
    roles = {role["metadata"]["namespace"] for role in rendering.of_kind("Role")}
    assert {"media", "crm"} <= roles
    assert rendering.of_kind("ClusterRole", "ClusterRoleBinding") == []


def test_the_budget_of_the_page_reaches_the_controller(helm):
    assert settings(helm.render(values(OPERATIONS, "connection budget"))).connection_budgets == {"main": 80}


def test_the_page_is_served_when_its_value_is_set(helm):
    assert "page" not in str(helm.render({}).container["ports"])
    assert "page" in str(helm.render(values(PAGE, "on")).container["ports"])


def test_the_role_for_payloads_is_the_one_that_the_page_looks_for(helm):
    look, bind = commands(shown(PAGE, "payloads"))
    assert look == ["kubectl", "get", "clusterroles", "-o", "name", "|", "grep", ":payloads$"]
    assert bind[:4] == ["kubectl", "create", "rolebinding", "support-payloads"]
    names = [role["metadata"]["name"] for role in helm.render(values(PAGE, "on")).of_kind("ClusterRole")]
    assert len([name for name in names if name.endswith(":payloads")]) == 1


def test_the_jobs_of_a_database_are_read_with_the_operators_secret(helm):
    shown_jobs = values(PAGE, "jobs of a database") | values(PAGE, "on")
    assert "jobtide-operator-db" in str(volumes(helm.render(shown_jobs)))


def test_behind_an_ingress_the_page_has_a_service_and_its_path(helm):
    rendering = helm.render(values(PAGE, "behind an ingress"))
    ports = [port["name"] for service in rendering.of_kind("Service") for port in service["spec"]["ports"]]
    assert "page" in ports
    assert "/jobtide" in rendering.environment.values()


def test_the_alerts_of_the_page_are_those_that_its_values_say(helm):
    chosen = values(OPERATIONS, "alerts")
    rendering = helm.render(chosen)
    made = rendering.of_kind("ServiceMonitor", "PodMonitor", "PrometheusRule")
    assert [manifest["metadata"]["labels"]["release"] for manifest in made] == ["kube-prometheus-stack"] * 3
    rules = {rule["alert"]: rule for rule in rendering.one("PrometheusRule")["spec"]["groups"][0]["rules"]}
    assert set(ALERT_NAMES) - rules.keys() == set(chosen["prometheusRule"]["excludeRules"])
    assert f"{len(ALERT_NAMES)} alerts" in (ROOT / OPERATIONS).read_text()
    snapshot = rules["JobtideOldSnapshot"]
    assert (snapshot["for"], snapshot["expr"].split()[-1]) == ("600s", "7200")
    assert snapshot["labels"] == {"severity": "info", "team": "platform"}
    assert snapshot["annotations"]["runbook_url"] == "https://wiki.example.com/jobtide/JobtideOldSnapshot"
