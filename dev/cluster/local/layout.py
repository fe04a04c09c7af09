"""Every path, name, address and port of the local cluster, so that `down` can remove everything."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.components import Endpoints

NODE_NAME = "jobtide"
NODE_ADDRESS = "10.245.0.1"
BRIDGE = "jobtide0"
POD_NETWORK = "jobtide-pods"
CLUSTER_DOMAIN = "cluster.local"
PAUSE_IMAGE = "localhost/jobtide-pause:1"
CONTEXT = "jobtide-local"

RUNTIME = Path("/run/jobtide-cluster")
ENDPOINTS = Endpoints(
    address=NODE_ADDRESS,
    apiserver_port=6443,
    etcd_socket=RUNTIME / "etcd.sock",
    controller_manager_port=12381,
)
SCHEDULER_PORT = 12382
KUBELET_HEALTH_PORT = 12383
PROXY_METRICS_PORT = 12384
PROXY_HEALTH_PORT = 12385
DNS_HEALTH_PORT = 12386
KUBELET_PORT = 10250
DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one local cluster; `down` removes both."""

    state: Path = Path(os.environ.get("JOBTIDE_CLUSTER_DIRECTORY", "/var/lib/jobtide-cluster"))
    runtime: Path = RUNTIME  # on a tmpfs: sockets, and mounts that end with the machine

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def configuration(self) -> Path:
        return self.state / "configuration"

    @property
    def kubelet(self) -> Path:
        return self.state / "kubelet"

    @property
    def cni_state(self) -> Path:
        return self.state / "cni"

    @property
    def pod_logs(self) -> Path:
        return self.state / "pod-logs"

    @property
    def machine_before(self) -> Path:
        return self.state / "machine-before.json"

    @property
    def containerd_socket(self) -> Path:
        return self.runtime / "containerd.sock"
