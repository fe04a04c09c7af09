"""The command lines of etcd, the API server and the controller manager, for tests and for the local cluster."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.pki import Credentials

SERVICE_RANGE = "10.96.0.0/16"
POD_RANGE = "10.244.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"
PEER_SOCKET = "etcd-peer.sock"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the control plane listens.

    etcd asks no client for a password: it listens on a Unix socket, in a folder that only its own user can enter.
    """

    address: str
    apiserver_port: int
    etcd_socket: Path  # absolute
    controller_manager_port: int

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.apiserver_port}"

    @property
    def etcd_url(self) -> str:
        return f"unix://{self.etcd_socket}"


def etcd_arguments(data_directory: Path, endpoints: Endpoints) -> list[str]:
    """Returns flags for one etcd, which keeps its data in `data_directory`.

    The socket for other members has to exist, though there are none. etcd takes a name for it, not a path, and makes it
    in its working directory, which must be private too.
    """
    peer_url = f"unix://{PEER_SOCKET}"
    return [
        f"--data-dir={data_directory}",
        f"--listen-client-urls={endpoints.etcd_url}",
        f"--advertise-client-urls={endpoints.etcd_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",  # a test cluster's data may be lost in a power cut
        "--log-level=warn",
    ]


def apiserver_arguments(endpoints: Endpoints, credentials: Credentials) -> list[str]:
    """Returns flags for an API server with RBAC, which knows users by the tokens in `credentials`."""
    return [
        f"--etcd-servers={endpoints.etcd_url}",
        f"--secure-port={endpoints.apiserver_port}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--tls-cert-file={credentials.certificate}",
        f"--tls-private-key-file={credentials.key}",
        f"--token-auth-file={credentials.tokens}",
        f"--service-account-key-file={credentials.signing_key}",
        f"--service-account-signing-key-file={credentials.signing_key}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        "--profiling=false",
    ]


def controller_manager_arguments(endpoints: Endpoints, credentials: Credentials, kubeconfig: Path) -> list[str]:
    """Returns flags for the only controller manager; it keeps a folder of plugins beside `kubeconfig`."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--secure-port={endpoints.controller_manager_port}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={credentials.authority}",
        f"--service-account-private-key-file={credentials.signing_key}",
        f"--cluster-cidr={POD_RANGE}",
        f"--flex-volume-plugin-dir={kubeconfig.parent / 'volume-plugins'}",  # created at start
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--profiling=false",
    ]


def kubeconfig_text(*, name: str, url: str, credentials: Credentials) -> str:
    """Returns a kubeconfig with one context, as JSON: it is YAML too, and needs no YAML library."""
    cluster = {"server": url, "certificate-authority": str(credentials.authority)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": credentials.token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    return json.dumps(document, indent=2) + "\n"
