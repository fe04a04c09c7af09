"""The programs of a cluster: the version of each, and how it is built from its Go module."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dev.machine.cache import cache_directory, exclusive
from dev.machine.system import require_disk
from dev.tools.gobuild import Build, build

MODULES_DIRECTORY = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module of dev/tools. Its go.mod pins the version; this says how to build it."""

    folder: str
    path: str
    version: str
    ldflags: str
    usual: str  # how long a first build takes on two cores


def _kubernetes(version: str) -> Module:
    # Without gitVersion the server reports v0.0.0-master+$Format:%H$, which Helm can't parse.
    _, minor, _ = version.split(".")
    stamped = " ".join(
        f"-X {package}.gitVersion={version} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    )
    return Module("kubernetes", "k8s.io/kubernetes", version, stamped, "4 to 8 min")


KUBERNETES = _kubernetes("v1.37.2")
ETCD = Module("etcd", "go.etcd.io/etcd/server/v3", "v3.7.3", "", "40 s")
COREDNS = Module("coredns", "github.com/coredns/coredns", "v1.15.0", "", "70 s")
HELM = Module("helm", "helm.sh/helm/v4", "v4.3.1", "-X helm.sh/helm/v4/internal/version.version=v4.3.1", "80 s")
HELM3 = Module("helm3", "helm.sh/helm/v3", "v3.22.0", "-X helm.sh/helm/v3/internal/version.version=v3.22.0", "80 s")
KIND = Module("kind", "sigs.k8s.io/kind", "v0.33.0", "", "30 s")
# The default of this kind version, with its digest. Before kind is chosen, a privileged container of it is tried.
KIND_NODE_IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
MODULES = (KUBERNETES, ETCD, COREDNS, HELM, HELM3, KIND)


@dataclass(frozen=True, slots=True)
class Tool:
    """One program; `binary` is its file name, so that a folder of tools can be put on the PATH."""

    name: str
    module: Module
    package: str
    binary: str

    @property
    def path(self) -> Path:
        return cache_directory() / "tools" / f"{self.module.folder}-{self.module.version}" / self.binary


def _tools() -> Iterable[Tool]:
    for name in (
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
    ):
        yield Tool(name, KUBERNETES, f"k8s.io/kubernetes/cmd/{name}", name)
    yield Tool("etcd", ETCD, ETCD.path, "etcd")
    yield Tool("coredns", COREDNS, COREDNS.path, "coredns")
    yield Tool("helm", HELM, f"{HELM.path}/cmd/helm", "helm")
    yield Tool("helm3", HELM3, f"{HELM3.path}/cmd/helm", "helm")
    yield Tool("kind", KIND, KIND.path, "kind")


TOOLS = {tool.name: tool for tool in _tools()}


def ensure_tools(*names: str) -> dict[str, Path]:
    """The paths of these programs; builds those that are missing."""
    tools = [TOOLS[name] for name in names]
    if any(not tool.path.exists() for tool in tools):
        with exclusive("tools"):
            _build_missing([tool for tool in tools if not tool.path.exists()])
    return {tool.name: tool.path for tool in tools}


def _build_missing(missing: list[Tool]) -> None:
    if missing:
        require_disk(cache_directory())
    for module in MODULES:
        if tools := [tool for tool in missing if tool.module is module]:
            _build_module(module, tools)


def _build_module(module: Module, tools: list[Tool]) -> None:
    destination = tools[0].path.parent
    names = ", ".join(tool.name for tool in tools)
    build(
        Build(
            title=f"Building {names} {module.version}",
            usual=module.usual,
            module_directory=MODULES_DIRECTORY / module.folder,
            packages=tuple(tool.package for tool in tools),
            ldflags=f"-s -w {module.ldflags}".strip(),
            destination=destination,
        )
    )
    for tool in tools:
        # Go names a program after the last element of its package, which for etcd is "server".
        built = destination / go_binary_name(tool.package)
        if built != tool.path:
            shutil.move(built, tool.path)


def go_binary_name(package: str) -> str:
    """The file name that `go build -o DIR/` gives a package: its last element, without a major version."""
    *_, parent, last = package.split("/")
    return parent if last[:1] == "v" and last[1:].isdigit() else last
