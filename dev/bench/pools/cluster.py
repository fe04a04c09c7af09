"""A real API server, and pools on it as a user makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.bench.pools.etcd import Etcd
from dev.cluster.control_plane import ControlPlane, control_plane
from dev.machine.shell import run
from dev.machine.wait import wait_until

CRD = Path("crds/jobworkerpools.yaml")
POOLS = "/apis/jobtide.dev/v1alpha1/jobworkerpools"
NAMESPACES = 20


def pool_name(number: int) -> str:
    """All names have one length: see copies.py."""
    return f"pool-{number:05d}"


def pod_name(number: int) -> str:
    """All names have one length: see copies.py."""
    return f"worker-{number:05d}"


def namespace_of(number: int) -> str:
    """Distributes the pools over NAMESPACES namespaces."""
    return f"team-{number % NAMESPACES:02d}"


def job_type(number: int) -> str:
    """Every pool has its own type, so a reading asks for 10,000 types."""
    return f"jobs.{number:05d}"


def manifest(number: int) -> dict[str, Any]:
    """A pool with the fields that most pools set."""
    container = {
        "name": "worker",
        "image": "acme/jobs:1",
        "args": ["acme.jobs:tide"],
        "env": [{"name": "POOL", "value": pool_name(number)}, {"name": "REGION", "value": "eu-central-1"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }
    return {
        "apiVersion": "jobtide.dev/v1alpha1",
        "kind": "JobWorkerPool",
        "metadata": {"name": pool_name(number), "namespace": namespace_of(number)},
        "spec": {
            "types": [job_type(number)],
            "maxWaitSeconds": 30,
            "template": {"spec": {"containers": [container]}},
        },
    }


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server and its etcd: no nodes, no other controller."""

    plane: ControlPlane

    @property
    def etcd(self) -> Etcd:
        return Etcd(self.plane.endpoints.etcd_socket)

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        command = [self.plane.kubectl, f"--kubeconfig={self.plane.kubeconfig}", *arguments]
        return run(command, input_text=stdin)

    def add(self, made: dict[str, Any]) -> None:
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(made))

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """The object; {} if it does not exist."""
        text = self.kubectl("get", kind, name, f"--namespace={namespace}", "-o", "json", "--ignore-not-found")
        found: dict[str, Any] = json.loads(text or "{}")
        return found

    def await_fleet(self, number: int) -> None:
        """Waits until this pool's status shows its Deployment."""
        wait_until(
            f"the status of {pool_name(number)}",
            lambda: "replicas" in self.get("jobworkerpool", namespace_of(number), pool_name(number)).get("status", {}),
        )

    def await_pools(self, count: int) -> None:
        """Waits until the API server lists so many: it follows etcd a moment later. A page of one says how many."""

        def listed() -> int:
            page = json.loads(self.kubectl("get", "--raw", f"{POOLS}?limit=1"))
            return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))

        wait_until(f"{count:,} pools in the list", lambda: listed() == count)

    def delete_first_pod(self) -> None:
        self.kubectl("delete", "pod", pod_name(0), f"--namespace={namespace_of(0)}", "--grace-period=0", "--force")


@contextmanager
def cluster(directory: Path) -> Iterator[Cluster]:
    """Starts an API server with the CRD and the namespaces; stops it at the end of the block."""
    with control_plane(directory) as plane:
        made = Cluster(plane)
        made.kubectl("apply", "--server-side", "-f", CRD)
        made.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/jobworkerpools.jobtide.dev")
        for number in range(NAMESPACES):
            made.kubectl("create", "namespace", namespace_of(number))
        yield made
