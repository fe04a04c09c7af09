"""The application of docs/gitops.md installs what its other lines name."""

from __future__ import annotations

import yaml

from tests.pages import GITOPS, ROOT, shown


def test_the_chart_takes_the_values_of_the_application_and_keeps_its_crd(helm):
    application = yaml.safe_load(shown(GITOPS, "application of the chart"))
    source = application["spec"]["source"]
    assert (ROOT / source["path"] / "Chart.yaml").exists()
    rendering = helm.render(source["helm"]["valuesObject"])
    assert rendering.container["image"].startswith("registry.example.com/jobtide/controller:")
    crd = rendering.one("CustomResourceDefinition")
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert crd["spec"]["names"]["kind"] in shown(GITOPS, "check of Argo CD")
