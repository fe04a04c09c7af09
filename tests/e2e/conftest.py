"""Real pods on a real cluster: CONTEXT or KUBECONFIG names it, otherwise one is started.

stage   everything that `make demo` needs
work    a namespace that enforces `restricted`, a tenant, and what a test does there
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql

from dev.cluster.choose import choose_cluster
from dev.stage.images import ensure_application_image
from dev.stage.job_table import JobTable
from dev.stage.postgres import CONTROLLER
from dev.stage.stage import Stage, set_stage
from tests.e2e.work import Work

HERE = Path(__file__).parent
NAMESPACE_PREFIX = "e2e-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                # Without the fixtures: the first one of a run builds images, on a new machine all of Kubernetes.
                item.add_marker(pytest.mark.timeout(600, func_only=True))


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    stage = set_stage()
    remove_leftovers(stage)
    yield stage
    stage.postgres.close()


def remove_leftovers(stage: Stage) -> None:
    """Removes what a killed run left: its pools would claim jobs of this run."""
    names = stage.kubectl("get", "namespaces", "--output", "name").split()
    if left := [name for name in names if name.startswith(f"namespace/{NAMESPACE_PREFIX}")]:
        stage.kubectl("delete", *left, "--wait=false")
    JobTable(stage.postgres).clear()


@pytest.fixture(scope="session")
def image(stage: Stage) -> str:
    """Workers whose jobs last as long as a test needs."""
    return ensure_application_image(choose_cluster(), "jobtide-e2e", HERE / "app", stage.images.worker)


@pytest.fixture(scope="session")
def blind_user(stage: Stage) -> str:
    """A login with all grants but no policy: it sees an empty table and no error. It has the controller's password."""
    user = "demo_blind"
    names = {"user": sql.Identifier(user), "password": sql.Literal(stage.postgres.passwords[CONTROLLER])}
    with stage.postgres.connect("main") as conn:
        if not conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [user]).fetchall():
            conn.execute(sql.SQL("CREATE ROLE {user} LOGIN").format(**names))
        conn.execute(sql.SQL("ALTER ROLE {user} PASSWORD {password}").format(**names))
        conn.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE ON job_queue TO {user}").format(**names))
    return user


@pytest.fixture
def work(stage: Stage, image: str, request: pytest.FixtureRequest) -> Iterator[Work]:
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:40].strip("-")
    namespace = f"{NAMESPACE_PREFIX}{readable}-{uuid4().hex[:4]}"
    stage.make_namespace(namespace)
    table = JobTable(stage.postgres)
    (tenant,) = table.add_tenants([namespace])
    yield Work(stage, table, namespace, tenant, image)
    stage.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")
