"""The processes of the local node: command, ports and health check of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dev.cluster.components import (
    apiserver_arguments,
    controller_manager_arguments,
    etcd_arguments,
)
from dev.cluster.local import layout as local
from dev.cluster.local.layout import ENDPOINTS, Layout
from dev.cluster.pki import Credentials
from dev.machine import unix_http
from dev.machine.shell import Argument, run, succeeds
from dev.machine.wait import answers


@dataclass(frozen=True, slots=True)
class Component:
    """One process of the node."""

    name: str
    command: tuple[Argument, ...]
    ports: tuple[tuple[str, int], ...]
    healthy: Callable[[], bool]


def control_plane(layout: Layout, credentials: Credentials, tools: dict[str, Path]) -> list[Component]:
    """Returns etcd, API server, controller manager and scheduler in the order of their start."""
    apiserver_ready = partial(
        answers, f"{ENDPOINTS.url}/readyz", token=credentials.token, authority=credentials.authority
    )
    return [
        Component(
            "etcd",
            (tools["etcd"], *etcd_arguments(layout.state / "etcd", ENDPOINTS)),
            (),
            partial(unix_http.answers, ENDPOINTS.etcd_socket, "/readyz"),
        ),
        Component(
            "kube-apiserver",
            (
                tools["kube-apiserver"],
                *apiserver_arguments(ENDPOINTS, credentials),
                f"--bind-address={local.NODE_ADDRESS}",
                f"--advertise-address={local.NODE_ADDRESS}",
                "--kubelet-preferred-address-types=InternalIP",  # the node's name is not in any DNS
                f"--kubelet-client-certificate={credentials.kubelet_client_certificate}",
                f"--kubelet-client-key={credentials.kubelet_client_key}",
            ),
            ((local.NODE_ADDRESS, ENDPOINTS.apiserver_port),),
            apiserver_ready,
        ),
        _component(
            "kube-controller-manager",
            [
                tools["kube-controller-manager"],
                *controller_manager_arguments(ENDPOINTS, credentials, layout.kubeconfig),
                "--kube-api-qps=100",
                "--kube-api-burst=200",
            ],
            [ENDPOINTS.controller_manager_port],
            partial(
                answers,
                f"{ENDPOINTS.url}/api/v1/namespaces/default/serviceaccounts/default",
                token=credentials.token,
                authority=credentials.authority,
            ),
        ),
        _component(
            "kube-scheduler",
            [
                tools["kube-scheduler"],
                f"--kubeconfig={layout.kubeconfig}",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={local.SCHEDULER_PORT}",
            ],
            [local.SCHEDULER_PORT],
            lambda: True,  # its own certificate can't be verified; the first pod shows whether it works
        ),
    ]


def node(layout: Layout, tools: dict[str, Path]) -> list[Component]:
    """Returns kubelet, kube-proxy and CoreDNS, which need a running control plane."""
    configuration = layout.configuration
    return [
        Component(
            "kubelet",
            (
                tools["kubelet"],
                f"--config={configuration / 'kubelet.json'}",
                f"--kubeconfig={layout.kubeconfig}",
                f"--root-dir={layout.kubelet}",
                f"--cert-dir={layout.kubelet / 'pki'}",
                f"--hostname-override={local.NODE_NAME}",
                f"--node-ip={local.NODE_ADDRESS}",
            ),
            ((local.NODE_ADDRESS, local.KUBELET_PORT), ("127.0.0.1", local.KUBELET_HEALTH_PORT)),
            partial(answers, f"http://127.0.0.1:{local.KUBELET_HEALTH_PORT}/healthz"),
        ),
        _component(
            "kube-proxy",
            [tools["kube-proxy"], f"--config={configuration / 'kube-proxy.json'}"],
            [local.PROXY_METRICS_PORT, local.PROXY_HEALTH_PORT],
            partial(answers, f"http://127.0.0.1:{local.PROXY_HEALTH_PORT}/healthz"),
        ),
        Component(
            "coredns",
            (tools["coredns"], "-conf", configuration / "Corefile"),
            ((local.NODE_ADDRESS, local.DNS_PORT), ("127.0.0.1", local.DNS_HEALTH_PORT)),
            partial(answers, f"http://127.0.0.1:{local.DNS_HEALTH_PORT}/health"),
        ),
    ]


def containerd(layout: Layout) -> Component:
    """Returns the container runtime, from the PATH; it must run before the kubelet."""
    command = ("containerd", "--config", layout.configuration / "containerd.toml")
    return Component("containerd", command, (), partial(succeeds, run, [*ctr(layout), "images", "list"]))


def ctr(layout: Layout) -> list[Argument]:
    """Returns containerd's client for the namespace k8s.io, the only one in which the kubelet looks for images."""
    return ["ctr", "--address", layout.containerd_socket, "--namespace", "k8s.io"]


def _component(name: str, command: list[Argument], loopback_ports: list[int], healthy: Callable[[], bool]) -> Component:
    ports = tuple(("127.0.0.1", port) for port in loopback_ports)
    return Component(name, tuple(command), ports, healthy)
