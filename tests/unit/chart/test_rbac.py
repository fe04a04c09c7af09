"""The controller has exactly the rights that it uses: the tables here."""

from __future__ import annotations

import pytest

CONTROLLER = {
    ("jobtide.dev", "jobworkerpools"): {"list", "watch"},
    ("jobtide.dev", "jobworkerpools/status"): {"patch"},
    ("jobtide.dev", "jobworkerpools/finalizers"): {"update"},
    ("apps", "deployments"): {"get", "list", "watch", "create", "patch"},
    ("apps", "deployments/scale"): {"patch"},
    ("", "pods"): {"list", "watch", "patch"},
    ("events.k8s.io", "events"): {"list", "create"},
}
ELECTION = {("coordination.k8s.io", "leases"): {"create", "get", "update"}}
PAGE = {
    ("authentication.k8s.io", "tokenreviews"): {"create"},
    ("authorization.k8s.io", "subjectaccessreviews"): {"create"},
}
VIEWER = {
    ("jobtide.dev", resource): {"get", "list", "watch"}
    for resource in ("jobworkerpools", "jobworkerpools/status", "jobworkerpools/scale")
}
EDITOR = {
    ("jobtide.dev", "jobworkerpools"): {"create", "update", "patch", "delete", "deletecollection"},
    ("jobtide.dev", "jobworkerpools/scale"): {"update", "patch"},
}


def test_cluster_wide_rights_are_exactly_the_verbs_used(helm):
    rendering = helm.render({})
    assert _granted(rendering, "ClusterRoleBinding") == {None: CONTROLLER}
    assert _granted(rendering, "RoleBinding") == {"queue": ELECTION}


def test_namespaced_rights_are_the_same_verbs_in_the_watched_namespaces(helm):
    rendering = helm.render({"watchNamespaces": ["media", "crm"]})
    assert _granted(rendering, "RoleBinding") == {"queue": ELECTION, "media": CONTROLLER, "crm": CONTROLLER}


def test_watching_the_namespace_of_the_release_adds_its_rights(helm):
    assert _granted(helm.render({"watchNamespaces": ["queue"]}), "RoleBinding") == {"queue": {**CONTROLLER, **ELECTION}}


def test_namespaced_mode_needs_no_cluster_wide_right(helm):
    assert not helm.render({"watchNamespaces": ["media"]}).of_kind("ClusterRole", "ClusterRoleBinding")


def test_the_page_adds_two_questions_to_the_api_server_and_nothing_else(helm):
    for values in ({}, {"watchNamespaces": ["media"]}):
        without, with_page = helm.render(values), helm.render({**values, "page.enabled": True})
        before = _granted(without, "ClusterRoleBinding").get(None, {})
        assert _granted(with_page, "ClusterRoleBinding") == {None: {**before, **PAGE}}
        assert _granted(with_page, "RoleBinding") == _granted(without, "RoleBinding")


def test_no_role_of_the_cluster_includes_payloads(helm):
    roles = helm.render({"page.enabled": True}).of_kind("ClusterRole")
    (role,) = (role for role in roles if "payloads" in str(role["rules"]))
    assert role["metadata"]["name"] == "queue:tide-jobtide:payloads"
    assert not any("aggregate-to" in label for label in role["metadata"]["labels"])
    assert _rights(role) == {("jobtide.dev", "jobworkerpools"): {"payloads"}}


def test_no_role_can_read_secrets(rendering):
    for role in rendering.of_kind("Role", "ClusterRole"):
        for rule in role["rules"]:
            assert not {"secrets", "*"} & {*rule["resources"], *rule["apiGroups"], *rule["verbs"]}


def test_other_leases_are_not_accessible(helm):
    (role,) = helm.render({}).of_kind("Role")
    for rule in role["rules"]:
        # RBAC can't restrict `create` by name.
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == ["tide-jobtide"]


def test_every_binding_names_the_account_that_the_pods_use(rendering):
    account = rendering.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    for binding in rendering.of_kind("RoleBinding", "ClusterRoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "queue"}]


@pytest.mark.parametrize(
    ("name", "rights", "roles"),
    [
        pytest.param("queue:tide-jobtide:view", VIEWER, {"view", "edit", "admin"}, id="view"),
        pytest.param("queue:tide-jobtide:edit", EDITOR, {"edit", "admin"}, id="edit"),
    ],
)
def test_the_roles_of_the_cluster_include_pools(helm, name, rights, roles):
    (role,) = (role for role in helm.render({}).of_kind("ClusterRole") if role["metadata"]["name"] == name)
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert _rights(role) == rights
    assert {label.removeprefix(prefix) for label in role["metadata"]["labels"] if prefix in label} == roles


def _granted(rendering, binding_kind):
    """Rights of the controller's account from bindings of this kind, by namespace."""
    granted = {}
    for binding in rendering.of_kind(binding_kind):
        reference = binding["roleRef"]
        namespace = binding["metadata"].get("namespace")
        (role,) = (
            role
            for role in rendering.of_kind(reference["kind"])
            if (role["metadata"]["name"], role["metadata"].get("namespace")) == (reference["name"], namespace)
        )
        granted.setdefault(namespace, {}).update(_rights(role))
    return granted


def _rights(role):
    rights = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                rights.setdefault((group, resource), set()).update(rule["verbs"])
    return rights
