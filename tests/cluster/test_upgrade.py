"""The release before this one and this one take turns in one cluster: its CRD, its schema and its controller.

Nothing rolls without need: no pod template changes by an upgrade or its way back. A release that must change one says
so in CHANGELOG.md, since the workers of all pools are replaced, and in this test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from dev.cluster.control_plane import ControlPlane
from dev.machine.environment import ROOT
from dev.postgres.server import Server
from dev.release.installed import ensure_before
from dev.stage.api import Api, NoAnswer
from tests.cluster.conftest import CRD, Kubectl
from tests.cluster.controllers import holder, until

TENANT = "0b54b2a4-7f0c-4d6a-9a54-6a3c0f3b1a10"
POOLS, DEPLOYMENTS = "jobtide.dev/v1alpha1:jobworkerpools", "apps/v1:deployments"
SIDECAR = {"name": "log", "image": "acme/log:1"}
# Each beside `types` and `template`; what the release before does not know is left out.
SPECS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tuned": {
        "maxWaitSeconds": 20,
        "maxReplicas": 7,
        "concurrency": 3,
        "drainSeconds": 45,
        "retry": {"maxAttempts": 2, "baseSeconds": 3, "maxSeconds": 60},
        "scaleDown": {"stabilizationSeconds": 30},
    },
    "pinned": {"replicas": 2},
    "paused": {"paused": True},
    "by-number": {"jobsPerWorker": 2, "maxReplicas": 4},
    "limited": {"tenants": {"maxConcurrent": 3, "overrides": {TENANT: 9}}},
    "promises": {"promises": {"promises": 30}, "maxWaitSeconds": 600},
    "windows": {
        "schedules": [
            {
                "name": "day",
                "cron": "0 8 * * *",
                "durationSeconds": 28800,
                "timezone": "Europe/Berlin",
                "maxReplicas": 5,
            }
        ]
    },
}


@dataclass(frozen=True, slots=True)
class Release:
    """What one release brings to a cluster and a database."""

    python: Path
    crd: Path
    examples: Path

    def apply_schema(self, url: str) -> None:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("JOBTIDE_")}
        command = [self.python, "-m", "jobtide", "schema", "apply", "--roles"]
        subprocess.run(
            command, check=True, env={**variables, "JOBTIDE_DATABASE_URL": url}, cwd="/", capture_output=True
        )


@pytest.fixture(scope="session")
def before() -> Release:
    found = ensure_before()
    return Release(found.python, found.tree / "crds" / CRD.name, found.tree / "examples")


@pytest.fixture(scope="session")
def now() -> Release:
    return Release(Path(sys.executable), CRD, ROOT / "examples")


@pytest.fixture
def crd_of(plane: ControlPlane, anywhere: Kubectl) -> Iterator[Callable[[Release], None]]:
    """Puts a release's CRD in the place of the other's; at the end it is that of this release, for other tests."""

    def put(path: Path) -> None:
        anywhere("apply", "--server-side", "-f", str(path))
        anywhere("wait", "--for=condition=Established", "--timeout=60s", "crd/jobworkerpools.jobtide.dev")

    yield lambda release: put(release.crd)
    put(CRD)


@pytest.fixture
def url(server: Server, before: Release) -> Iterator[str]:
    """A database with the schema of the release before."""
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute("CREATE DATABASE upgraded TEMPLATE template0")
        before.apply_schema(server.url("upgraded"))
        yield server.url("upgraded")
        admin.execute("DROP DATABASE upgraded WITH (FORCE)")


@pytest.fixture
def folder(tmp_path: Path, server: Server, url: str) -> Iterator[Path]:
    """The controllers have the least rights, as in production."""
    login = "upgraded_controller"
    configured = tmp_path / "databases" / "main"
    configured.mkdir(parents=True)
    (configured / "url").write_text(server.url("upgraded", user=login))
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {login} LOGIN IN ROLE jobtide_controller")
        yield configured.parent
        admin.execute(f"DROP ROLE {login}")


@pytest.fixture
def pools(kubectl: Kubectl, crd_of: Any, before: Release, pool: Callable[..., dict[str, Any]]) -> dict[str, list[str]]:
    """Pools as users of the release before have them, its examples too: the types of each by name."""
    crd_of(before)
    versions = yaml.safe_load(before.crd.read_text())["spec"]["versions"]
    known = versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    made = [
        pool(name, types=[name], **{field: value for field, value in spec.items() if field in known})
        for name, spec in SPECS.items()
    ]
    sidecar = pool("sidecar", types=["sidecar"])
    sidecar["spec"]["template"]["spec"]["containers"].append(SIDECAR)
    made.append(sidecar)
    for file in sorted(before.examples.glob("*/pool*.yaml")):
        made += [document for document in yaml.safe_load_all(file.read_text()) if document["kind"] == "JobWorkerPool"]
    done = kubectl.apply({"apiVersion": "v1", "kind": "List", "items": made})
    assert done.returncode == 0, done.stderr
    return {manifest["metadata"]["name"]: manifest["spec"]["types"] for manifest in made}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The pools and their Deployments, and a way to see that a controller has decided for each."""

    api: Api
    namespace: str
    jobs: psycopg.Connection[Any]
    tenant: Any
    pools: dict[str, list[str]]

    def settle(self) -> None:
        """One more job of each pool; returns when every pool's status shows it, which is after its decision."""
        firsts = [types[0] for types in self.pools.values()]
        self.jobs.execute(
            "INSERT INTO job_queue (tenant_id, type) SELECT %s, unnest(%s::text[])", [self.tenant, firsts]
        )
        counts = dict(self.jobs.execute("SELECT type, count(*) FROM job_queue GROUP BY 1"))
        want = {name: sum(counts.get(type_, 0) for type_ in types) for name, types in self.pools.items()}
        until(
            lambda: {name: item.get("status", {}).get("pending") for name, item in self.objects(POOLS).items()} == want
        )

    def templates(self) -> dict[str, Any]:
        """What the pods of each pool are made of, and the identity of its Deployment."""
        return {
            name: {"uid": item["metadata"]["uid"], **{k: v for k, v in item["spec"].items() if k != "replicas"}}
            for name, item in self.objects(DEPLOYMENTS).items()
        }

    def specs(self) -> dict[str, Any]:
        return {name: item["spec"] for name, item in self.objects(POOLS).items()}

    def reachable_since(self) -> dict[str, str]:
        """Of the status that a controller leaves to the next one."""
        return {
            name: condition["lastTransitionTime"]
            for name, item in self.objects(POOLS).items()
            for condition in item["status"]["conditions"]
            if (condition["type"], condition["status"]) == ("DatabaseReachable", "True")
        }

    def stalled(self) -> list[str]:
        """The pools that a controller can't work with."""
        return [
            f"{name}: {condition['message']}"
            for name, item in self.objects(POOLS).items()
            for condition in item["status"]["conditions"]
            if (condition["type"], condition["status"]) == ("Stalled", "True")
        ]

    def objects(self, kind: str) -> dict[str, Any]:
        """By name. Not with kubectl, which costs a core for a quarter of a second."""
        items = until(lambda: self._answer(f"/apis/{kind.replace(':', f'/namespaces/{self.namespace}/')}"))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def _answer(self, path: str) -> Any:
        """None after a change of the CRD: the API server asks for patience (429) while it opens the storage again."""
        try:
            return self.api.get(path)
        except NoAnswer:
            return None


@pytest.fixture
def fleet(plane: ControlPlane, kubectl: Kubectl, url: str, pools: dict[str, list[str]]) -> Iterator[Fleet]:
    with psycopg.connect(url, autocommit=True) as jobs:
        (tenant,) = jobs.execute("INSERT INTO tenants (name) VALUES ('a tenant') RETURNING id").fetchone()
        yield Fleet(Api(plane.url, plane.credentials), kubectl.namespace, jobs, tenant, pools)


def test_no_worker_is_replaced_by_an_upgrade_or_its_way_back(controller, kubectl, fleet, url, crd_of, before, now):
    old = controller("old", before.python)
    fleet.settle()
    until(lambda: fleet.templates().keys() == {f"{name}-worker" for name in fleet.pools})
    templates, specs, since = fleet.templates(), fleet.specs(), fleet.reachable_since()
    assert since.keys() == fleet.pools.keys()

    def assert_kept(when: str) -> None:
        assert fleet.stalled() == [], when
        assert fleet.specs() == specs, when
        assert fleet.templates() == templates, when
        assert fleet.reachable_since() == since, when

    crd_of(now)
    new = controller("new", now.python)  # beside the old one, as in a rollout of its Deployment
    fleet.settle()
    assert_kept("the old controller on the new CRD")
    assert old.stop() == 0
    until(lambda: holder(kubectl) == "new")
    fleet.settle()
    assert_kept("the new controller on the old schema")
    now.apply_schema(url)
    fleet.settle()
    assert_kept("the new controller on the new schema")

    again = controller("old again", before.python)
    assert new.stop() == 0
    until(lambda: holder(kubectl) == "old again")
    fleet.settle()
    assert_kept("back: the old controller on the new CRD and schema")
    crd_of(before)
    fleet.settle()
    assert_kept("back: the old CRD too")
    assert again.is_running
