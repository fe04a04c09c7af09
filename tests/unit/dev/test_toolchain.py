from __future__ import annotations

import re
from pathlib import Path

import pytest

from dev.cluster.local.configuration import COREFILE
from dev.machine.cache import cache_directory, scratch_directory
from dev.machine.errors import DevError
from dev.tools.toolchain import (
    KIND_NODE_IMAGE,
    KUBERNETES,
    MODULE_DIRECTORY,
    OLDEST_APISERVER,
    OLDEST_KUBERNETES,
    PROMETHEUS_DIRECTORY,
    RELEASES,
    TOOLS,
    ensure_tools,
    stamps,
)

GO_MOD = (MODULE_DIRECTORY / "go.mod").read_text()
PROMETHEUS_GO_MOD = (PROMETHEUS_DIRECTORY / "go.mod").read_text()
OLDEST_GO_MOD = (OLDEST_KUBERNETES.module_directory / "go.mod").read_text()

each_release = pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.folder)


@each_release
def test_the_version_in_the_code_is_the_version_in_go_mod(release):
    go_mod = (release.module_directory / "go.mod").read_text()
    required = re.search(rf"^(?:require)?\s*{re.escape(release.path)} (v\S+)", go_mod, re.MULTILINE)
    assert required is not None
    assert required[1] == release.version


@each_release
def test_every_release_is_pinned_by_hash(release):
    assert f"{release.path} {release.version} h1:" in (release.module_directory / "go.sum").read_text()


def test_the_modules_name_every_program_built_and_no_other():
    texts = (GO_MOD, PROMETHEUS_GO_MOD, OLDEST_GO_MOD)
    blocks = [re.search(r"^tool \((.*?)^\)", text, re.MULTILINE | re.DOTALL) for text in texts]
    named = {package for block in blocks if block is not None for package in block[1].split()}

    assert {*named, "./coredns"} == {tool.package for tool in TOOLS.values()}


def test_prometheus_has_each_library_in_the_version_of_the_cluster_unless_it_asks_for_a_newer_one():
    of_the_cluster, of_prometheus = (versions(text) for text in (GO_MOD, PROMETHEUS_GO_MOD))
    shared = of_the_cluster.keys() & of_prometheus.keys()

    assert len(shared) > 100
    assert {name for name in shared if of_prometheus[name] < of_the_cluster[name]} == set()


def versions(go_mod: str) -> dict[str, list[int]]:
    """The numbers of each library's version."""
    found = re.findall(r"^\t(\S+) v(\d+)\.(\d+)\.(\d+)", go_mod.partition("replace (")[0], re.MULTILINE)
    return {name: [int(number) for number in numbers] for name, *numbers in found}


def test_coredns_has_exactly_the_plugins_that_its_configuration_names():
    source = (MODULE_DIRECTORY / "coredns" / "main.go").read_text()
    built = re.findall(r'"github.com/coredns/coredns/plugin/(\w+)"', source)
    assert set(re.findall(r"^ {4}(\w+)", COREFILE, re.MULTILINE)) == set(built)


@pytest.mark.parametrize("kubernetes", [KUBERNETES, OLDEST_KUBERNETES], ids=["newest", "oldest"])
def test_kubernetes_libraries_are_those_of_the_server(kubernetes):
    text = (kubernetes.module_directory / "go.mod").read_text()
    replaced = set(re.findall(r"^\s*k8s\.io/\S+ => k8s\.io/\S+ (v\S+)", text, re.MULTILINE))

    assert replaced == {kubernetes.version.replace("v1.", "v0.")}


def test_kind_runs_the_same_minor_version():
    minor = KUBERNETES.version.rpartition(".")[0]

    assert KIND_NODE_IMAGE.startswith(f"kindest/node:{minor}.")
    assert "@sha256:" in KIND_NODE_IMAGE


@pytest.mark.parametrize("kubernetes", [KUBERNETES, OLDEST_KUBERNETES], ids=["newest", "oldest"])
def test_the_server_is_stamped_with_its_version(kubernetes):
    assert f"-X k8s.io/component-base/version.gitVersion={kubernetes.version}" in stamps(kubernetes)


def test_a_program_is_in_a_folder_of_its_version_under_its_own_name(cache):
    assert TOOLS["kubectl"].path == cache / "tools" / f"kubernetes-{KUBERNETES.version}" / "kubectl"
    assert len({tool.path for tool in TOOLS.values()}) == len(TOOLS)
    assert TOOLS["helm"].path.name == TOOLS["helm3"].path.name == "helm"


def test_programs_that_exist_are_not_built(cache):
    path = TOOLS["kubectl"].path
    path.parent.mkdir(parents=True)
    path.touch()

    assert ensure_tools("kubectl") == {"kubectl": path}


def test_a_missing_go_is_named_with_where_to_get_it(cache, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(DevError, match=r"`go` was not found on the PATH: install Go .* from https://go.dev/dl/"):
        ensure_tools("etcd")


def test_two_programs_of_one_name_are_both_built(cache, go):
    paths = ensure_tools("helm", "kubectl", "helm3", "promtool", "kube-apiserver", OLDEST_APISERVER)

    assert {name: path.read_text() for name, path in paths.items()} == {
        name: f"{TOOLS[name].package}\n" for name in paths
    }


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({"JOBTIDE_CACHE": "/fast/disk", "XDG_CACHE_HOME": "/xdg"}, "/fast/disk", id="chosen"),
        pytest.param({"XDG_CACHE_HOME": "/xdg"}, "/xdg/jobtide", id="xdg"),
        pytest.param({}, str(Path.home() / ".cache" / "jobtide"), id="home"),
    ],
)
def test_the_cache_is_outside_the_checkout(environ, expected):
    assert cache_directory(environ) == Path(expected)


def test_unfinished_work_is_beside_its_destination_and_removed_afterwards(tmp_path):
    with scratch_directory(tmp_path / "tools") as scratch:
        assert scratch.parent == tmp_path / "tools"
        (scratch / "half").touch()

    assert list((tmp_path / "tools").iterdir()) == []
