"""The programs of a cluster, and Prometheus: the version of each, and how they are built from the Go modules here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.machine.cache import cache_directory, exclusive
from dev.machine.system import require_disk
from dev.tools.gobuild import Build, build

# One module for all programs of a cluster: it has one version of each library, so what several programs use is compiled
# once. Prometheus has its own, because it asks for newer libraries than Kubernetes was released with.
MODULE_DIRECTORY = Path(__file__).parent
PROMETHEUS_DIRECTORY = MODULE_DIRECTORY / "prometheus"
# Without the clients of some thirty clouds; static and file discovery are always there.
PROMETHEUS_TAGS = "remove_all_sd,netgo"
OLDEST_DIRECTORY = MODULE_DIRECTORY / "oldest"
USUAL = "1 to 5 min"  # a first build on two cores, by the programs that are missing


@dataclass(frozen=True, slots=True)
class Release:
    """One published module. go.mod pins the same version."""

    folder: str
    path: str
    version: str
    module_directory: Path = MODULE_DIRECTORY
    tags: str = ""


KUBERNETES = Release("kubernetes", "k8s.io/kubernetes", "v1.37.2")
ETCD = Release("etcd", "go.etcd.io/etcd/server/v3", "v3.7.3")
COREDNS = Release("coredns", "github.com/coredns/coredns", "v1.15.0")
HELM = Release("helm", "helm.sh/helm/v4", "v4.3.1")
HELM3 = Release("helm3", "helm.sh/helm/v3", "v3.22.0")
KIND = Release("kind", "sigs.k8s.io/kind", "v0.33.0")
PROMETHEUS = Release(
    "prometheus", "github.com/prometheus/prometheus", "v0.316.0", PROMETHEUS_DIRECTORY, PROMETHEUS_TAGS
)
# The oldest one that docs/support.md names: its API server alone. Without the clouds that were part of it then.
OLDEST_KUBERNETES = Release("kubernetes", "k8s.io/kubernetes", "v1.30.14", OLDEST_DIRECTORY, "providerless")
OLDEST_APISERVER = "kube-apiserver-oldest"
RELEASES = (KUBERNETES, OLDEST_KUBERNETES, ETCD, COREDNS, HELM, HELM3, KIND, PROMETHEUS)
# The default of this kind version, with its digest. Before kind is chosen, a privileged container of it is tried.
KIND_NODE_IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"


@dataclass(frozen=True, slots=True)
class Tool:
    """One program; `binary` is its file name, so that a folder of tools can be put on the PATH."""

    name: str
    release: Release
    package: str
    binary: str

    @property
    def path(self) -> Path:
        return _tools_directory() / f"{self.release.folder}-{self.release.version}" / self.binary


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
    yield Tool(OLDEST_APISERVER, OLDEST_KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver")
    yield Tool("etcd", ETCD, ETCD.path, "etcd")
    yield Tool("coredns", COREDNS, "./coredns", "coredns")
    yield Tool("helm", HELM, f"{HELM.path}/cmd/helm", "helm")
    yield Tool("helm3", HELM3, f"{HELM3.path}/cmd/helm", "helm")
    yield Tool("kind", KIND, KIND.path, "kind")
    for name in ("prometheus", "promtool"):
        yield Tool(name, PROMETHEUS, f"{PROMETHEUS.path}/cmd/{name}", name)


TOOLS = {tool.name: tool for tool in _tools()}


def ensure_tools(*names: str) -> dict[str, Path]:
    """The paths of these programs; builds those that are missing."""
    tools = [TOOLS[name] for name in names]
    if any(not tool.path.exists() for tool in tools):
        with exclusive("tools"):
            _build_missing([tool for tool in tools if not tool.path.exists()])
    return {tool.name: tool.path for tool in tools}


def stamps(kubernetes: Release = KUBERNETES) -> str:
    """The linker's flags that put versions into the programs; a program ignores those of the others."""
    _, minor, _ = kubernetes.version.split(".")
    values = {f"{helm.path}/internal/version.version": helm.version for helm in (HELM, HELM3)}
    # Without gitVersion the server reports v0.0.0-master+$Format:%H$, which Helm can't parse.
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        values |= {
            f"{package}.gitVersion": kubernetes.version,
            f"{package}.gitMajor": "1",
            f"{package}.gitMinor": minor,
        }
    return " ".join(f"-X {name}={value}" for name, value in values.items())


def _build_missing(missing: Sequence[Tool]) -> None:
    if missing:
        require_disk(cache_directory())
    # Helm 3 comes alone, because one `go build` can't make two programs of one name; the others are other modules.
    alone = (HELM3, PROMETHEUS, OLDEST_KUBERNETES)
    _build([tool for tool in missing if tool.release not in alone])
    for release in alone:
        _build([tool for tool in missing if tool.release is release])


def _build(tools: Sequence[Tool]) -> None:
    if not tools:
        return
    release = tools[0].release
    releases = dict.fromkeys(f"{tool.release.folder} {tool.release.version}" for tool in tools)
    build(
        Build(
            title=f"Building {', '.join(releases)}",
            usual=USUAL,
            module_directory=release.module_directory,
            tags=release.tags,
            stamps=stamps(OLDEST_KUBERNETES if release is OLDEST_KUBERNETES else KUBERNETES),
            directory=_tools_directory(),
            programs={tool.package: tool.path for tool in tools},
        )
    )


def _tools_directory() -> Path:
    return cache_directory() / "tools"
