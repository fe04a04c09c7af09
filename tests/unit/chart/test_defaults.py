"""A default exists once: values.yaml, the schema and the controller's code are compared key by key."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic.alias_generators import to_snake

from dev.generate.values import Values, render
from jobtide_controller.settings import Settings, SettingsError

VALUES_TEXT = (Path(__file__).parents[3] / "charts/jobtide/values.yaml").read_text()
IN_FORCE = yaml.safe_load(VALUES_TEXT)
# With the `# key: value` lines in force, which show what the controller does on its own.
SHOWN = yaml.safe_load(
    re.sub(r"^( *)# (\w+: \S+)$", r"\1\2", VALUES_TEXT.replace("settings: {}", "settings:"), flags=re.MULTILINE)
)
SETTINGS_SCHEMA = json.loads(render())["$defs"]["Settings"]["properties"]
LIMITED = {name: schema for name, schema in SETTINGS_SCHEMA.items() if "minimum" in schema}
WIDEST = {"JOBTIDE_TICK_MIN_SECONDS": "0.05"}  # the longest pause may not be shorter than the shortest


def test_values_yaml_has_the_defaults_of_the_schema():
    assert Values.model_validate(IN_FORCE) == Values()


def test_values_yaml_shows_every_key(key_paths):
    Values.model_validate(SHOWN)
    assert key_paths(SHOWN) == key_paths(Values().model_dump(by_alias=True)) - {"global"}


def test_the_settings_shown_are_the_defaults_of_the_code():
    assert SHOWN["settings"] == {name: getattr(Settings(), to_snake(name)) for name in SHOWN["settings"]}


def test_the_port_and_the_databases_folder_are_those_of_the_code(helm):
    assert Settings.from_env(_texts(helm.render({}))).http_port == Settings().http_port == IN_FORCE["httpPort"]
    assert helm.render({}).environment["JOBTIDE_DATABASES_DIR"] == str(Settings().databases_dir)


def test_every_setting_arrives_as_it_was_written(helm):
    everything = yaml.safe_load((Path(__file__).parent / "values/everything.yaml").read_text())
    arrived = Settings.from_env(_texts(helm.render("everything")))
    assert {name: getattr(arrived, to_snake(name)) for name in everything["settings"]} == everything["settings"]
    assert arrived.namespaces == tuple(everything["watchNamespaces"])
    assert (arrived.http_port, arrived.lease_name) == (everything["httpPort"], everything["fullnameOverride"])


@pytest.mark.parametrize("name", LIMITED)
def test_the_schema_lets_pass_what_the_code_accepts(name):
    variable, least, most = f"JOBTIDE_{to_snake(name).upper()}", LIMITED[name]["minimum"], LIMITED[name]["maximum"]
    assert getattr(Settings.from_env(WIDEST | {variable: str(most)}), to_snake(name)) == most
    assert getattr(Settings.from_env(WIDEST | {variable: str(least)}), to_snake(name)) == least
    for refused in (f"{most + 1}", f"{least / 2:g}"):
        with pytest.raises(SettingsError, match=variable):
            Settings.from_env(WIDEST | {variable: refused})


def _texts(rendering):
    return {name: value for name, value in rendering.environment.items() if isinstance(value, str)}
