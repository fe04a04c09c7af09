"""The CRD as YAML: for `kubectl apply -f`, and as a template of the chart."""

from __future__ import annotations

from typing import Any

import yaml

from jobtide_controller.api.crd import crd

_HEADER = "# Generated from controller/jobtide_controller/api by `make generate`. Do not edit.\n"


def manifest() -> str:
    """Returns the text of crds/jobworkerpools.yaml."""
    return _HEADER + _yaml(crd())


def chart_template() -> str:
    """Returns the chart's template. Helm keeps the CRD on uninstall: without it, every pool would be deleted."""
    resource = crd()
    resource["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
    return f"{_HEADER}{{{{- if .Values.crds.enabled }}}}\n{_yaml(resource)}{{{{- end }}}}\n"


class _Plain(yaml.SafeDumper):
    """Without anchors and aliases, which some tools do not support; with indented lists."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002 - overrides PyYAML's
        del indentless
        super().increase_indent(flow, indentless=False)


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)
