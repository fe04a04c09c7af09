"""The chart on a real API server: admission, authorization, uninstall. Helm 4 installs it as a release packages it."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from dev.cluster.control_plane import control_plane
from dev.machine.environment import ROOT
from dev.release.chart import CHART, package_charts
from dev.release.notes import Change, Notes
from dev.release.tree import Tree
from dev.tools.toolchain import ensure_tools
from jobtide import __version__

DIGEST = f"sha256:{'d' * 64}"
PREPARATION = (
    "create namespace media",
    "create namespace queue",
    "label namespace queue pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted",
)
ACCOUNT = "--as=system:serviceaccount:queue:tide-jobtide"

RIGHTS = {
    "watch jobworkerpools --all-namespaces": True,
    "patch jobworkerpools --subresource=status --namespace=media": True,
    "create deployments --namespace=media": True,
    "patch pods --namespace=media": True,
    "list events.events.k8s.io --namespace=media": True,
    "watch events.events.k8s.io --namespace=media": False,
    "update leases/tide-jobtide --namespace=queue": True,
    "patch jobworkerpools --namespace=media": False,
    "delete deployments --namespace=media": False,
    "delete pods --namespace=media": False,
    "get secrets --namespace=queue": False,
    "update leases/other --namespace=queue": False,
    "create leases --namespace=media": False,
}


class Release:
    """A release `tide` in namespace `queue`, by one of the Helms."""

    def __init__(self, helm, chart, environment):
        self._helm = helm
        self._chart = chart
        self._environment = environment

    def helm(self, *arguments):
        return self.run(self._helm, *arguments, "--namespace=queue")

    def upgrade(self, *arguments):
        return self.helm("upgrade", "--install", "tide", self._chart, *arguments)

    def apply_pool_of_notes(self):
        notes = self.helm("get", "notes", "tide").stdout
        (apply,) = re.findall(r"^kubectl apply .*?^POOL$", notes, flags=re.DOTALL | re.MULTILINE)
        return self.run("bash", "-c", apply)

    def run(self, *command):
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    def may(self, *question):
        """True if the API server allows this to the controller's account."""
        command = ["kubectl", "auth", "can-i", *question, ACCOUNT]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout.strip() == "yes"


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An API server for this module alone: Helm refuses a CRD that another client has applied to a shared one."""
    with control_plane(tmp_path_factory.mktemp("chart")) as server:
        path = f"{server.kubectl.parent}:{os.environ['PATH']}"
        environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "PATH": path}
        for command in PREPARATION:
            subprocess.run(["kubectl", *command.split()], env=environment, check=True)
        yield environment


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folder of the packaged charts."""
    folder = tmp_path_factory.mktemp("packages")
    notes = Notes(None, "", (Change("added", "Pools."),))
    package_charts(Tree(ROOT, "", 1_700_000_000), folder, notes, {"controller": DIGEST, "worker": DIGEST})
    return folder


@pytest.fixture(params=["helm", "helm3"])
def release(environment, packages, request):
    chart = packages / f"jobtide-{__version__}.tgz" if request.param == "helm" else ROOT / CHART
    release = Release(ensure_tools(request.param)[request.param], chart, environment)
    release.upgrade()
    yield release
    release.helm("uninstall", "tide", "--ignore-not-found")


def test_a_restricted_namespace_accepts_the_release_without_a_warning(release):
    assert "PodSecurity" not in release.upgrade("--set=replicas=2").stderr


def test_the_pool_in_the_notes_is_accepted_unchanged(release):
    assert "jobworkerpool.jobtide.dev/first-pool" in release.apply_pool_of_notes().stdout


def test_the_api_server_grants_the_used_rights_and_no_similar_ones(release):
    assert {question: release.may(*question.split()) for question in RIGHTS} == RIGHTS


def test_namespaced_mode_has_no_rights_in_other_namespaces(release):
    release.upgrade("--set=watchNamespaces={media}")
    assert release.may("list", "pods", "--namespace=media")
    assert not release.may("list", "pods", "--namespace=queue")
    assert not release.may("list", "pods", "--all-namespaces")


def test_an_uninstall_keeps_the_pools_and_a_later_install_finds_them(release):
    release.apply_pool_of_notes()
    release.helm("uninstall", "tide")
    pools = release.run("kubectl", "get", "jobworkerpools", "--namespace=queue", "--output=name").stdout
    assert pools == "jobworkerpool.jobtide.dev/first-pool\n"
    release.upgrade()


@pytest.mark.parametrize(
    ("release", "place"),
    [pytest.param("helm", f"@{DIGEST}", id="package"), pytest.param("helm3", f":{__version__}", id="checkout")],
    indirect=["release"],
)
def test_a_package_runs_the_image_that_was_released_with_it_and_a_checkout_the_tag(release, place):
    where = ("deployment/tide-jobtide", "--namespace=queue", "--output=jsonpath={..image}")
    assert release.run("kubectl", "get", *where).stdout == f"ghcr.io/jobtide/controller{place}"


@pytest.mark.parametrize("release", ["helm"], indirect=True)
def test_the_crd_can_be_a_release_of_its_own(release, packages):
    release.helm("uninstall", "tide")
    crd = "customresourcedefinition/jobworkerpools.jobtide.dev"
    release.run("kubectl", "delete", crd)

    release.helm("install", "tide-crds", packages / f"jobtide-crds-{__version__}.tgz")
    release.upgrade("--set=crds.enabled=false")
    release.apply_pool_of_notes()
    release.helm("uninstall", "tide")
    release.helm("uninstall", "tide-crds")

    pools = release.run("kubectl", "get", "jobworkerpools", "--namespace=queue", "--output=name").stdout
    assert pools == "jobworkerpool.jobtide.dev/first-pool\n"
    release.run("kubectl", "delete", crd)  # another release would not take it over
