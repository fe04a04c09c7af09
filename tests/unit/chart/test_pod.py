"""The controller's pod: hardened, with its settings as environment variables and its databases as files."""

from __future__ import annotations

import pytest

from jobtide_controller.settings import Settings

RELEASED = f"sha256:{'b' * 64}"


def test_the_pod_passes_the_restricted_standard(rendering):
    pod = rendering.one("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert rendering.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} <= {"secret", "emptyDir"}


def test_only_the_pod_mounts_the_token_of_its_account(rendering):
    assert rendering.one("Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
    for account in rendering.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_each_database_is_a_folder_with_its_url(helm):
    databases = {
        "main": {"secretName": "first"},
        "second": {"secretName": "other", "key": "dsn", "caKey": "ca"},
    }
    assert _mounted(helm.render({"databases": databases})) == {
        "/var/run/jobtide/databases/main": ("first", {"url": "url"}),
        "/var/run/jobtide/databases/second": ("other", {"dsn": "url", "ca": "ca.crt"}),
    }


def test_connection_budgets_reach_the_controller_as_json(each_helm):
    databases = {
        "main": {"secretName": "first", "connectionBudget": 1_000_000},
        "second": {"secretName": "other"},
        "third": {"secretName": "more", "connectionBudget": 2},
    }
    environment = each_helm.render({"databases": databases}).environment
    texts = {name: value for name, value in environment.items() if isinstance(value, str)}
    assert Settings.from_env(texts).connection_budgets == {"main": 1_000_000, "third": 2}


def test_namespaces_and_tenants_of_a_database_reach_the_controller(each_helm):
    databases = {
        "main": {"secretName": "first", "namespaces": ["media", "crm"], "showTenants": False},
        "second": {"secretName": "other", "showTenants": True},
        "third": {"secretName": "more", "namespaces": ["crm"], "showTenants": True},
    }
    environment = each_helm.render({"databases": databases}).environment
    texts = {name: value for name, value in environment.items() if isinstance(value, str)}
    arrived = Settings.from_env(texts)
    assert arrived.database_namespaces == {"main": ("media", "crm"), "third": ("crm",)}
    assert arrived.show_tenants == ("second", "third")


def test_the_main_database_can_be_dropped(each_helm):
    databases = {"main": None, "reports": {"secretName": "reports-db"}}
    assert set(_mounted(each_helm.render({"databases": databases}))) == {"/var/run/jobtide/databases/reports"}


def test_a_missing_secret_does_not_block_the_controller(rendering):
    secrets = [volume["secret"] for volume in _volumes(rendering).values() if "secret" in volume]
    assert secrets
    assert all(secret["optional"] for secret in secrets)


def test_unset_settings_keep_the_controllers_own_defaults(helm):
    assert helm.render({}).environment == {
        "JOBTIDE_DATABASES_DIR": "/var/run/jobtide/databases",
        "JOBTIDE_LEASE_NAME": "tide-jobtide",
        "JOBTIDE_HTTP_PORT": "8080",
        "JOBTIDE_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "JOBTIDE_POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
    }


@pytest.mark.parametrize(
    ("values", "variable", "text"),
    [
        pytest.param({"settings.logLevel": "DEBUG"}, "JOBTIDE_LOG_LEVEL", "DEBUG", id="text"),
        pytest.param({"settings.tickMinSeconds": 0.25}, "JOBTIDE_TICK_MIN_SECONDS", "0.25", id="fraction"),
        pytest.param({"settings.depthCap": 5_000_000}, "JOBTIDE_DEPTH_CAP", "5000000", id="not 5e+06"),
        pytest.param({"watchNamespaces": ["media", "crm"]}, "JOBTIDE_NAMESPACES", "media,crm", id="list"),
        pytest.param({"httpPort": 9090}, "JOBTIDE_HTTP_PORT", "9090", id="port"),
        pytest.param({"extraEnv": [{"name": "PGAPPNAME", "value": "x"}]}, "PGAPPNAME", "x", id="extra"),
    ],
)
def test_settings_reach_the_controller(helm, values, variable, text):
    assert helm.render(values).environment[variable] == text


def test_probes_use_the_port_of_the_controller(rendering):
    container = rendering.container
    assert container["ports"][0] == {
        "name": "http",
        "containerPort": int(rendering.environment["JOBTIDE_HTTP_PORT"]),
    }
    probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {
        "startupProbe": {"path": "/healthz", "port": "http"},
        "livenessProbe": {"path": "/healthz", "port": "http"},
        "readinessProbe": {"path": "/readyz", "port": "http"},
    }


@pytest.mark.parametrize(
    ("values", "image"),
    [
        pytest.param({}, "ghcr.io/jobtide/controller:0.2.0", id="the chart's version"),
        pytest.param({"image.tag": "next"}, "ghcr.io/jobtide/controller:next", id="tag"),
        pytest.param(
            {"image.tag": "next", "image.digest": f"sha256:{'a' * 64}"},
            f"ghcr.io/jobtide/controller@sha256:{'a' * 64}",
            id="digest before tag",
        ),
    ],
)
def test_the_image_is(helm, values, image):
    assert helm.render(values).container["image"] == image


@pytest.mark.parametrize(
    ("values", "image"),
    [
        pytest.param({}, f"ghcr.io/jobtide/controller@{RELEASED}", id="the image of the release"),
        pytest.param({"image.repository": "mirror/x"}, f"mirror/x@{RELEASED}", id="in another registry"),
        pytest.param({"image.tag": "next"}, "ghcr.io/jobtide/controller:next", id="tag before the release"),
        pytest.param(
            {"image.digest": f"sha256:{'a' * 64}"}, f"ghcr.io/jobtide/controller@sha256:{'a' * 64}", id="own digest"
        ),
    ],
)
def test_the_image_of_a_packaged_chart_is(helm, tmp_path, values, image):
    packaged = helm.annotated(tmp_path, {"jobtide.dev/image-digest": RELEASED})
    assert packaged.render(values).container["image"] == image


def test_an_upgrade_never_leaves_the_fleet_without_a_warm_controller(helm):
    strategy = helm.render({}).one("Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def _volumes(rendering):
    pod = rendering.one("Deployment")["spec"]["template"]["spec"]
    return {volume["name"]: volume for volume in pod["volumes"]}


def _mounted(rendering):
    """Mount path -> (Secret, key -> file)."""
    volumes = _volumes(rendering)
    return {
        mount["mountPath"]: (secret["secretName"], {item["key"]: item["path"] for item in secret["items"]})
        for mount in rendering.container["volumeMounts"]
        if (secret := volumes[mount["name"]].get("secret"))
    }
