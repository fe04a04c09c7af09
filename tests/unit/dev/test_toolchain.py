from __future__ import annotations

import re
from pathlib import Path

import pytest

from dev.machine.cache import cache_directory, scratch_directory
from dev.machine.errors import DevError
from dev.tools.toolchain import (
    KIND_NODE_IMAGE,
    KUBERNETES,
    MODULES,
    MODULES_DIRECTORY,
    TOOLS,
    ensure_tools,
    go_binary_name,
)

each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.folder)


@each_module
def test_the_version_in_the_code_is_the_version_in_go_mod(module):
    text = (MODULES_DIRECTORY / module.folder / "go.mod").read_text()

    required = re.search(rf"^(?:require)?\s*{re.escape(module.path)} (v\S+)", text, re.MULTILINE)
    assert required is not None
    assert required[1] == module.version


@each_module
def test_every_program_built_is_a_tool_of_its_go_mod(module):
    text = (MODULES_DIRECTORY / module.folder / "go.mod").read_text()

    for tool in TOOLS.values():
        if tool.module is module:
            assert re.search(rf"^(?:tool)?\s*{re.escape(tool.package)}$", text, re.MULTILINE), tool.package


@each_module
def test_every_module_is_pinned_by_hash(module):
    assert f"{module.path} {module.version} h1:" in (MODULES_DIRECTORY / module.folder / "go.sum").read_text()


def test_every_folder_of_tools_is_used():
    assert {file.parent.name for file in MODULES_DIRECTORY.glob("*/go.mod")} == {module.folder for module in MODULES}


def test_kubernetes_libraries_are_those_of_the_server():
    text = (MODULES_DIRECTORY / "kubernetes" / "go.mod").read_text()
    replaced = set(re.findall(r"^\s*k8s\.io/\S+ => k8s\.io/\S+ (v\S+)", text, re.MULTILINE))

    assert replaced == {KUBERNETES.version.replace("v1.", "v0.")}


def test_kind_runs_the_same_minor_version():
    minor = KUBERNETES.version.rpartition(".")[0]

    assert KIND_NODE_IMAGE.startswith(f"kindest/node:{minor}.")
    assert "@sha256:" in KIND_NODE_IMAGE


def test_the_server_is_stamped_with_its_version():
    assert f"-X k8s.io/component-base/version.gitVersion={KUBERNETES.version}" in KUBERNETES.ldflags


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


@pytest.mark.parametrize(
    ("package", "name"),
    [
        pytest.param("k8s.io/kubernetes/cmd/kubectl", "kubectl", id="command"),
        pytest.param("go.etcd.io/etcd/server/v3", "server", id="major-version"),
        pytest.param("github.com/coredns/coredns", "coredns", id="root"),
    ],
)
def test_go_names_a_program_after_its_package(package, name):
    assert go_binary_name(package) == name


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
