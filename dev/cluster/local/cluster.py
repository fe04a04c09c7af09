"""The local cluster: started from any state that an earlier run left, and removed completely."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dev.cluster.components import FIRST_SERVICE_ADDRESS, kubeconfig_text
from dev.cluster.local import components, machine, network, teardown
from dev.cluster.local.components import Component
from dev.cluster.local.configuration import write_configuration
from dev.cluster.local.layout import CONTEXT, ENDPOINTS, NODE_ADDRESS, NODE_NAME, PAUSE_IMAGE, Layout
from dev.cluster.local.pause import ensure_busybox, write_pause_image
from dev.cluster.pki import ensure_credentials
from dev.images.engines import Buildah, Engine, saved
from dev.machine.cache import cache_directory, exclusive, scratch_directory
from dev.machine.daemons import Daemons
from dev.machine.errors import DevError
from dev.machine.private import private_directory, write_private
from dev.machine.progress import step
from dev.machine.shell import Argument, last_lines, run, succeeds
from dev.machine.system import ensure_packages, raise_file_limit, require_disk, require_free_port, require_root
from dev.machine.wait import wait_until
from dev.tools.toolchain import ensure_tools

NODE_TOOLS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
    "coredns",
)
PROCESSES = (*(name for name in NODE_TOOLS if name != "kubectl"), "containerd")
NODE_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "nftables": "nft",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "mount": "mount",
}
CERTIFICATE_NAMES = (
    "IP:127.0.0.1",
    f"IP:{NODE_ADDRESS}",
    f"IP:{FIRST_SERVICE_ADDRESS}",
    "DNS:localhost",
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    "DNS:kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """Host processes, one node, no registry; its images come from archives."""

    layout: Layout = field(default_factory=Layout)
    name: str = "local"
    image_prefix: str = "localhost"

    @property
    def kubeconfig(self) -> Path:
        return self.layout.kubeconfig

    @property
    def daemons(self) -> Daemons:
        return Daemons(self.layout.state)

    def ensure(self) -> Path:
        """The administrator's kubeconfig; returns when the node is ready, at once if it is already."""
        require_root()
        with exclusive("local-cluster"):
            if not self._works():
                tools = self._prepare()
                with step("Starting the local cluster", usual="15 to 30 s"):
                    self._start(tools)
        return self.kubeconfig

    @property
    def engine(self) -> Engine:
        return Buildah()

    def load_image(self, reference: str, engine: Engine) -> None:
        with saved(engine, reference) as archive:
            self._import(archive)

    def has_image(self, reference: str) -> bool:
        names = run([*components.ctr(self.layout), "images", "list", "--quiet"]).split()
        return reference in names

    def exists(self) -> bool:
        """True if `down` has something to remove, even if it is half a cluster."""
        return self.layout.state.exists() or self.layout.runtime.exists()

    def down(self) -> None:
        """Removes everything but the cache."""
        require_root()
        with exclusive("local-cluster"):
            teardown.remove_everything(self.layout, self.daemons)

    def _works(self) -> bool:
        return (
            self.kubeconfig.exists()
            and all(self.daemons.running(name) for name in PROCESSES)
            and self._node_ready(ensure_tools("kubectl")["kubectl"])
        )

    def _prepare(self) -> dict[str, Path]:
        require_disk(cache_directory())
        require_disk(self.layout.state)
        ensure_packages(NODE_PACKAGES)
        tools = ensure_tools(*NODE_TOOLS)
        ensure_busybox()
        if self.layout.state.exists() and not self.daemons.running():
            # After a reboot containers and mounts are gone, but etcd still has their objects.
            teardown.remove_everything(self.layout, self.daemons)
        return tools

    def _start(self, tools: dict[str, Path]) -> None:
        layout = self.layout
        for directory in (layout.state, layout.runtime):
            private_directory(directory)
        machine.remember(layout.machine_before)
        raise_file_limit()
        network.ensure_network(layout)
        credentials = ensure_credentials(layout.pki, names=CERTIFICATE_NAMES)
        write_private(self.kubeconfig, kubeconfig_text(name=CONTEXT, url=ENDPOINTS.url, credentials=credentials))
        write_configuration(layout)
        self._ensure_running(components.containerd(layout))
        self._load_pause_image()
        for component in components.control_plane(layout, credentials, tools):
            self._ensure_running(component)
        for component in components.node(layout, tools):
            self._ensure_running(component)
        wait_until(
            f"node {NODE_NAME} being ready",
            lambda: self._node_ready(tools["kubectl"]),
            reason=lambda: self._end_of_log("kubelet"),
        )

    def _ensure_running(self, component: Component) -> None:
        if not self.daemons.running(component.name):
            for address, port in component.ports:
                require_free_port(address, port, component.name)
            self.daemons.start(component.name, component.command)

        def healthy() -> bool:
            if not self.daemons.running(component.name):
                raise DevError(f"{component.name} ended instead of starting: {self._end_of_log(component.name)}")
            return component.healthy()

        wait_until(f"{component.name} being healthy", healthy, reason=lambda: self._end_of_log(component.name))

    def _load_pause_image(self) -> None:
        if self.has_image(PAUSE_IMAGE):
            return
        busybox = ensure_busybox()
        with scratch_directory(self.layout.state) as scratch:
            archive = scratch / "pause.tar"
            write_pause_image(archive, PAUSE_IMAGE, busybox)
            self._import(archive)

    def _import(self, archive: Path) -> None:
        run([*components.ctr(self.layout), "images", "import", archive])

    def _node_ready(self, kubectl: Path) -> bool:
        ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        query: list[Argument] = [kubectl, "--kubeconfig", self.kubeconfig, "get", "node", NODE_NAME, "-o", ready]
        return succeeds(run, query) and run(query).strip() == "True"

    def _end_of_log(self, name: str) -> str:
        log = self.daemons.log(name)
        end = last_lines(log.read_text(errors="replace")) if log.exists() else "it wrote no log"
        return f"{end} (whole log: {log})"
