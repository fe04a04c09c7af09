"""The two things that are compared: a pool, and a plain Deployment of the same pods, which Jobtide does not manage."""

from __future__ import annotations

from typing import Any

from jobtide_controller.api.v1alpha1 import API_VERSION, KIND, JobWorkerPool
from jobtide_controller.render.deployment import deployment_name, deployment_template_apply

Json = dict[str, Any]


def pool(namespace: str, name: str, image: str, type_: str, **spec: Any) -> Json:
    """A pool whose workers run one job at a time."""
    container = {"name": "worker", "image": image, "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"types": [type_], "concurrency": 1, "template": {"spec": {"containers": [container]}}, **spec},
    }


def worker_deployment(pool: Json) -> str:
    """The name of the Deployment that a pool gets."""
    return deployment_name(JobWorkerPool.model_validate(pool))


def plain_deployment(pool: Json) -> Json:
    """The pool's Deployment with no replicas, under the pool's name, without any label of Jobtide."""
    manifest = deployment_template_apply(JobWorkerPool.model_validate(pool))
    name, labels = pool["metadata"]["name"], {"app": pool["metadata"]["name"]}
    spec: Json = manifest["spec"]
    template = {**spec["template"], "metadata": {"labels": labels}}
    return {
        **manifest,
        "metadata": {"name": name, "namespace": pool["metadata"]["namespace"]},
        "spec": {**spec, "replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }
