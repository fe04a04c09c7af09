"""The configuration files of containerd, kubelet, kube-proxy and CoreDNS on the local node."""

from __future__ import annotations

import json
from pathlib import Path

from dev.cluster.components import POD_RANGE
from dev.cluster.local import layout as local
from dev.cluster.local.layout import Layout
from dev.cluster.local.network import CNI_PLUGINS

CONTAINERD = """\
version = 2
root = "{state}/containerd"
state = "{runtime}/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", \
"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[grpc]
  address = "{socket}"

[ttrpc]
  address = "{socket}.ttrpc"

[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE a lower oom_score_adj is refused and every container fails to start.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{cni_plugins}"
  conf_dir = "{configuration}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"""

COREFILE = """\
{domain}:{port} in-addr.arpa:{port} {{
    bind {address}
    errors
    health 127.0.0.1:{health_port}
    kubernetes {domain} in-addr.arpa {{
        kubeconfig {kubeconfig} {context}
        pods insecure
        ttl 5
    }}
}}
# Names outside the cluster are refused at once: test traffic stays on this machine.
.:{port} {{
    bind {address}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def write_configuration(layout: Layout) -> None:
    """Writes the files of all four programs into `layout.configuration`, over those of an earlier start."""
    directory = layout.configuration
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "containerd.toml").write_text(
        CONTAINERD.format(
            state=layout.state,
            runtime=layout.runtime,
            socket=layout.containerd_socket,
            pause=local.PAUSE_IMAGE,
            cni_plugins=CNI_PLUGINS,
            configuration=directory,
        )
    )
    (directory / "Corefile").write_text(
        COREFILE.format(
            domain=local.CLUSTER_DOMAIN,
            port=local.DNS_PORT,
            address=local.NODE_ADDRESS,
            health_port=local.DNS_HEALTH_PORT,
            kubeconfig=layout.kubeconfig,
            context=local.CONTEXT,
        )
    )
    _write_json(directory / "kubelet.json", kubelet_configuration(layout))
    _write_json(directory / "kube-proxy.json", proxy_configuration(layout))


def kubelet_configuration(layout: Layout) -> dict[str, object]:
    """Returns the KubeletConfiguration (kubelet.config.k8s.io/v1beta1), for a machine that does other work too."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": local.NODE_ADDRESS,
        "port": local.KUBELET_PORT,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": local.KUBELET_HEALTH_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "clusterDNS": [local.NODE_ADDRESS],
        "clusterDomain": local.CLUSTER_DOMAIN,
        "resolvConf": "",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": False,  # kube-proxy uses nftables: nothing would remove these chains
        "volumePluginDir": str(layout.kubelet / "volume-plugins"),
        "podLogsDir": str(layout.pod_logs),
        "serializeImagePulls": False,
        "maxPods": 500,
        # Images come from no registry: the kubelet must not delete them when the disk fills.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "imagefs.inodesFree": "1%",
        },
    }


def proxy_configuration(layout: Layout) -> dict[str, object]:
    """Returns the KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1), with rules in nftables alone."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": local.NODE_NAME,
        "clientConnection": {"kubeconfig": str(layout.kubeconfig)},
        # Zero leaves the settings of the machine unchanged.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "metricsBindAddress": f"127.0.0.1:{local.PROXY_METRICS_PORT}",
        "healthzBindAddress": f"127.0.0.1:{local.PROXY_HEALTH_PORT}",
        "nodePortAddresses": [f"{local.NODE_ADDRESS}/32"],
    }


def _write_json(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")
