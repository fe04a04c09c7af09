"""Real pods on a real cluster: CONTEXT or KUBECONFIG names one, otherwise the developers' own is started.

stage   everything that `make demo` stands on; its chart also knows databases that are wrong, each in its own way
work    a namespace that enforces `restricted`, a tenant, and what tests do there
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg import sql

from dev.cluster.choose import choose_cluster
from dev.demo.job_table import JobTable
from dev.demo.postgres import CONTROLLER, ClusterPostgres
from dev.demo.stage import Stage, set_stage
from dev.images import ensure_image
from tests.e2e.work import Work

HERE = Path(__file__).parent
WRONG_PASSWORD = "wrong-password-0123456789"
BLIND = "demo_blind"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    # Once a module: the demo, which a module of its own runs, installs the chart without the wrong databases.
    stage = set_stage()
    stage.install(_wrong_databases(stage.postgres))
    JobTable(stage.postgres).clear()
    yield stage
    stage.postgres.close()


@pytest.fixture(scope="module")
def image(stage: Stage) -> str:
    """Workers whose jobs last as long as a test wants."""
    return ensure_image(
        choose_cluster(),
        "jobtide-e2e",
        dockerfile=HERE / "app" / "Dockerfile",
        context_root=HERE / "app",
        context_paths=["handlers.py"],
        build_args={"WORKER_IMAGE": stage.images.worker},
    )


@pytest.fixture
def work(stage: Stage, image: str, request: pytest.FixtureRequest) -> Iterator[Work]:
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:40].strip("-")
    namespace = f"e2e-{readable}-{uuid4().hex[:4]}"
    stage.make_namespace(namespace)
    table = JobTable(stage.postgres)
    (tenant,) = table.add_tenants([namespace])
    yield Work(stage, table, namespace, tenant, image)
    stage.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


def _wrong_databases(postgres: ClusterPostgres) -> dict[str, str]:
    password = postgres.passwords[CONTROLLER]
    with postgres.connect("main") as conn:
        if not conn.execute("SELECT FROM pg_roles WHERE rolname = %s", [BLIND]).fetchall():
            conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(BLIND)))
        names = {"role": sql.Identifier(BLIND), "password": sql.Literal(password)}
        conn.execute(sql.SQL("ALTER ROLE {role} PASSWORD {password}").format(**names))
        # All that a controller needs but the policy: it sees an empty table, and no error.
        conn.execute(sql.SQL("GRANT SELECT, UPDATE ON job_queue TO {role}").format(**names))
    return {
        "wrong-password": postgres.service_url("main", CONTROLLER).replace(password, WRONG_PASSWORD),
        "no-table": postgres.service_url("postgres", CONTROLLER),
        "blind": postgres.service_url("main", CONTROLLER).replace(f"//{CONTROLLER}:", f"//{BLIND}:"),
        "nobody-there": f"postgresql://{CONTROLLER}:{password}@pg.default.svc:1/main",
    }
