"""A cluster with everything that the demo and the end-to-end tests need: images, PostgreSQL, the chart, namespaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.cluster.choose import choose_cluster
from dev.cluster.provider import Cluster
from dev.machine.errors import DevError
from dev.machine.progress import step
from dev.machine.shell import CommandError
from dev.stage.images import (
    ROOT,
    ensure_application_image,
    ensure_controller_image,
    ensure_image,
    ensure_worker_image,
)
from dev.stage.kubectl import Helm, Kubectl
from dev.stage.postgres import CONTROLLER, DATABASES, WORKER, ClusterPostgres
from dev.tools.toolchain import ensure_tools

RELEASE = "jobtide"
SYSTEM_NAMESPACE = "jobtide-system"
DEMO_NAMESPACE = "demo"
WORKER_SECRET = "jobtide-worker-db"
CHART = ROOT / "charts" / "jobtide"
EXAMPLE = ROOT / "examples" / "01-first-pool"
IMAGE_IN_EXAMPLE = "jobtide-example/first-pool"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True, slots=True)
class Images:
    """References of the four images, as pods on the stage name them."""

    controller: str
    worker: str
    application: str
    postgres: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster with PostgreSQL and Jobtide, and the clients to use it."""

    kubectl: Kubectl
    helm: Helm
    postgres: ClusterPostgres
    images: Images

    def make_namespace(self, name: str, *, database: str = "main") -> None:
        """A namespace that enforces the strictest Pod Security standard, with the workers' Secret."""
        self.kubectl.apply_namespace(name, RESTRICTED)
        url = self.postgres.service_url(database, WORKER)
        self.kubectl.apply_secret(name, WORKER_SECRET, {"url": url})

    def install(self, more_databases: Mapping[str, str] | None = None, *, chart: Path = CHART) -> None:
        """Installs the chart with the two databases, and with more of them by name and URL; upgrades a release."""
        self.kubectl.apply_namespace(SYSTEM_NAMESPACE, RESTRICTED)
        urls = {database: self.postgres.service_url(database, CONTROLLER) for database in DATABASES}
        urls |= more_databases or {}
        for database, url in urls.items():
            self.kubectl.apply_secret(SYSTEM_NAMESPACE, f"jobtide-{database}", {"url": url})
        repository, _, tag = self.images.controller.rpartition(":")
        values = {
            "image": {"repository": repository, "tag": tag},
            "databases": {
                database: {"secretName": f"jobtide-{database}", "key": "url", "showTenants": True} for database in urls
            },
        }
        try:
            self.helm.install(RELEASE, chart, namespace=SYSTEM_NAMESPACE, values=values)
        except CommandError as error:
            raise DevError(f"Jobtide's chart did not come up: {error}\n{self._controllers_state()}") from error

    def apply_pools(self, manifest: str, namespace: str) -> None:
        """Applies pools and waits until all pools of the namespace are Ready."""
        self.kubectl.apply(manifest, namespace=namespace)
        ready = ("--for", "condition=Ready", "--timeout", "60s")
        self.kubectl("wait", "jobworkerpools", "--all", "--namespace", namespace, *ready)

    def change(self, *settings: str) -> None:
        """Changes values of the chart, such as "replicas=2", and waits until the release is ready."""
        values = [argument for setting in settings for argument in ("--set", setting)]
        place = ("--namespace", SYSTEM_NAMESPACE)
        self.helm("upgrade", RELEASE, CHART, *place, "--reuse-values", *values, "--wait", "--timeout", "180s")

    def _controllers_state(self) -> str:
        """For the error: pods and the end of their logs."""
        place = ("--namespace", SYSTEM_NAMESPACE)
        pods = self.kubectl("get", "pods", *place, "--output", "wide")
        return pods + self.kubectl("logs", *place, f"--selector=app.kubernetes.io/instance={RELEASE}", "--tail", "10")

    def example_pools(self) -> str:
        """The manifest of the example, with the image that was built from it."""
        return (EXAMPLE / "pools.yaml").read_text().replace(IMAGE_IN_EXAMPLE, self.images.application)


def set_stage() -> Stage:
    """Makes a stage with a running controller, from any state of the machine; checks what exists already."""
    cluster = choose_cluster()
    kubeconfig = cluster.ensure()
    tools = ensure_tools("kubectl", "helm")
    kubectl, helm = Kubectl(tools["kubectl"], kubeconfig), Helm(tools["helm"], kubeconfig)
    images = _ensure_images(cluster)
    stage = Stage(kubectl, helm, ClusterPostgres(kubectl), images)
    with step("Starting PostgreSQL in the cluster, and its tables", usual="5 to 15 s"):
        stage.postgres.ensure(images.postgres)
    with step("Installing Jobtide with its chart", usual="3 to 15 s"):
        stage.install()
    return stage


def _ensure_images(cluster: Cluster) -> Images:
    worker = ensure_worker_image(cluster)
    return Images(
        controller=ensure_controller_image(cluster),
        worker=worker,
        application=ensure_application_image(
            cluster, "jobtide-first-pool", EXAMPLE, worker, dockerfile=EXAMPLE / "Dockerfile"
        ),
        postgres=ensure_image(
            cluster,
            "jobtide-demo-postgres",
            dockerfile=Path(__file__).parent / "postgres.Dockerfile",
            context_paths=["dev/stage/postgres-requirements.txt", "dev/stage/postgres-entrypoint.sh"],
        ),
    )
