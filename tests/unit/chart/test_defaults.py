"""values.yaml repeats the defaults of the code, and the templates pass every setting on."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic.alias_generators import to_snake

from dev.generate.values import Values
from jobtide_controller.settings import Settings

VALUES_TEXT = (Path(__file__).parents[3] / "charts/jobtide/values.yaml").read_text()
IN_FORCE = yaml.safe_load(VALUES_TEXT)
# With the `# key: value` lines uncommented: they show the controller's own defaults.
SHOWN = yaml.safe_load(
    re.sub(r"^( *)# (\w+: \S+)$", r"\1\2", VALUES_TEXT.replace("settings: {}", "settings:"), flags=re.MULTILINE)
)


def test_values_yaml_has_the_defaults_of_the_schema():
    assert Values.model_validate(IN_FORCE) == Values()


def test_values_yaml_shows_every_key_and_the_default_settings(key_paths):
    assert Values.model_validate(SHOWN).settings == Values().settings
    assert key_paths(SHOWN) == key_paths(Values().model_dump(by_alias=True)) - {"global"}


def test_the_port_and_the_databases_folder_are_those_of_the_code(helm):
    assert Settings.from_env(_texts(helm.render({}))).http_port == Settings().http_port == IN_FORCE["httpPort"]
    assert helm.render({}).environment["JOBTIDE_DATABASES_DIR"] == str(Settings().databases_dir)


def test_there_is_no_page_unless_it_is_enabled(helm):
    rendering, with_page = helm.render({}), helm.render({"page.enabled": True})
    assert not Settings.from_env(_texts(rendering)).page_enabled
    assert "page" not in rendering.text.replace("podSecurity", "")
    arrived = Settings.from_env(_texts(with_page))
    assert (arrived.page_enabled, arrived.page_port, arrived.page_path) == (True, Settings().page_port, "")
    assert not [service for service in with_page.of_kind("Service") if service["metadata"]["name"].endswith("-page")]


def test_an_operators_url_is_mounted_for_the_page_only(helm):
    values = {"databases.main.operatorSecretName": "operator-secret"}
    assert "operator-secret" not in helm.render(values).text
    with_page = helm.render({**values, "page.enabled": True})
    mounts = {mount["name"]: mount["mountPath"] for mount in with_page.container["volumeMounts"]}
    assert mounts["operator-main"] == f"{Settings().operators_dir}/main"


def test_every_setting_arrives_as_it_was_written(helm):
    everything = yaml.safe_load((Path(__file__).parent / "values/everything.yaml").read_text())
    arrived = Settings.from_env(_texts(helm.render("everything")))
    assert {name: getattr(arrived, to_snake(name)) for name in everything["settings"]} == everything["settings"]
    assert arrived.namespaces == tuple(everything["watchNamespaces"])
    page = everything["page"]
    assert (arrived.page_enabled, arrived.page_port, arrived.page_path) == (True, page["port"], page["path"])
    assert (arrived.http_port, arrived.lease_name) == (everything["httpPort"], everything["fullnameOverride"])


def _texts(rendering):
    return {name: value for name, value in rendering.environment.items() if isinstance(value, str)}
