"""Writes what a scheduler and a kubelet write: where there is no node, their words are given by the test."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.cluster.controllers import until

NODE = "node-1"


def add_node(kubectl: Any) -> None:
    """Makes the object of the node: Kubernetes deletes pods of a node that has none, at any moment of a test."""
    made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    kubectl("create", "-f", "-", stdin=json.dumps(made))


class Node:
    """The scheduler and the kubelet of one node, in the namespace of `kubectl`."""

    def __init__(self, kubectl: Any) -> None:
        self._kubectl = kubectl

    def pod_of(self, pool: str) -> str:
        """The name of the pool's pod, once its Deployment has made it."""
        query = ("get", "pods", "-l", f"jobtide.dev/pool={pool}", "-o", "jsonpath={.items[0].metadata.name}")
        return str(until(lambda: self._kubectl.run(*query).stdout))

    def begin(self, pod: str, **status: Any) -> None:
        """Chooses the node, begins to start the pod there, and writes these fields of its status."""
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
        path = f"/api/v1/namespaces/{self._kubectl.namespace}/pods/{pod}/binding"
        self._kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
        unready = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": now()}
        placed = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now()}
        self.write(pod, startTime=now(), conditions=[placed, unready], **status)

    def write(self, pod: str, **status: Any) -> None:
        """Writes these fields of the pod's status."""
        self._kubectl("patch", "pod", pod, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))

    def event(self, pod: str, reason: str, message: str, kind: str = "Warning") -> None:
        """One Event about the pod, as the kubelet's recorder makes it."""
        uid = self._kubectl("get", "pod", pod, "-o", "jsonpath={.metadata.uid}")
        regarding = {"apiVersion": "v1", "kind": "Pod", "namespace": self._kubectl.namespace, "name": pod, "uid": uid}
        made = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{pod}.", "namespace": self._kubectl.namespace},
            "involvedObject": regarding,
            "reason": reason,
            "message": message,
            "type": kind,
            "source": {"component": "kubelet", "host": NODE},
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "count": 1,
        }
        self._kubectl("create", "-f", "-", stdin=json.dumps(made))


def now() -> str:
    """The time as Kubernetes writes it, in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One entry of containerStatuses for the container named worker."""
    made = {"name": "worker", "image": "acme/jobs:1", "imageID": "", "ready": False, "restartCount": 0}
    return {**made, "state": state, **more}
