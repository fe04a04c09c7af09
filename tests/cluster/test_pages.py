"""The pages' commands, run in their order on a new API server. It has no nodes: no pod runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.cluster.control_plane import ControlPlane, control_plane
from dev.release.installed import ensure_before
from dev.tools.toolchain import ensure_tools
from jobtide import __version__
from jobtide.doctor.kubectl import ADVICE
from tests import runbooks
from tests.pages import (
    BLOCKS,
    EXPLAIN,
    FIRST_POOL,
    INSTALL,
    OPERATIONS,
    QUICKSTART,
    ROOT,
    blocks,
    inline_commands,
    shown,
)

Shell = Callable[..., str]

# Named in the text without what they are for: not to be run.
NAMED_ONLY = {"kubectl jobtide why", "kubectl jobtide top", "kubectl rollout pause"}
POOL = {"POOL": "thumbs"}


@pytest.fixture(scope="module")
def new_plane(tmp_path_factory) -> Iterator[ControlPlane]:
    """Of this module alone: the pages install the CRD themselves, and remove it."""
    with control_plane(tmp_path_factory.mktemp("pages")) as running:
        yield running


@pytest.fixture(scope="module")
def shell(new_plane, tmp_path_factory) -> Shell:
    """shell(text, NAME="value"): runs it in a clone, with placeholders replaced, and returns the output.

    kubectl, Helm and the plugin are those of the checkout. `docker` does nothing: the images are checked elsewhere.
    """
    clone, programs = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("programs")
    (clone / "charts").symlink_to(ROOT / "charts")
    (clone / "pool.yaml").write_text(shown(QUICKSTART, "pool"))
    _program(programs / "docker", "exit 0")
    _program(programs / "kubectl-jobtide", f'exec {shlex.quote(sys.executable)} -m jobtide_controller.plugin "$@"')
    folders = [programs, *(path.parent for path in ensure_tools("kubectl", "helm").values())]
    path = ":".join(map(str, [*folders, os.environ["PATH"]]))
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(new_plane.kubeconfig), "PYTHONPATH": str(ROOT)}

    def run(text: str, **placeholders: str) -> str:
        for name, value in placeholders.items():
            text = re.sub(rf"\b{name}\b", value, text)
        script = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(script, cwd=clone, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        return done.stdout

    return run


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def installed(shell) -> Shell:
    """The quickstart was followed, up to its pool; `media` is the namespace of the context."""
    shell(shown(QUICKSTART, "install the controller"))
    shell(shown(QUICKSTART, "secret of the workers"))
    (apply,) = [command for command in inline_commands(QUICKSTART, "kubectl") if " apply " in command]
    assert shell(apply) == "jobworkerpool.jobtide.dev/thumbs created\n"
    shell("kubectl config set-context --current --namespace media")
    return shell


@pytest.fixture
def spec(installed) -> Callable[[], dict[str, Any]]:
    return lambda: json.loads(installed("kubectl get jwp thumbs -o json"))["spec"]


def test_the_programs_of_the_local_cluster_are_on_the_path(new_plane, tmp_path):
    """`make cluster-up` prints the path of a kubeconfig and nothing else: here, that of this test."""
    ensure_tools("kubectl", "helm")
    _program(tmp_path / "make", f'[ "$*" = cluster-up ] && echo {shlex.quote(str(new_plane.kubeconfig))}')
    _program(tmp_path / "python3", f'exec {shlex.quote(sys.executable)} "$@"')
    text = shown(QUICKSTART, "programs of the local cluster") + "command -v kubectl helm\n"
    environment = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    script = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(path) for path in ensure_tools("kubectl", "helm").values()]


def test_the_pool_of_the_quickstart_finds_the_secret_that_the_page_makes(installed, spec):
    name = spec()["databaseSecret"]["name"]
    assert installed(f"kubectl get secret {name} --output=name") == f"secret/{name}\n"
    assert installed("kubectl get deployment/jobtide --namespace jobtide-system --output=name")


@pytest.mark.parametrize("page", BLOCKS)
def test_every_command_of_kubectl_inside_the_text_is_accepted(installed, page):
    installed("""kubectl patch jwp thumbs --subresource=status --type=merge --patch '{"status": {
        "observedGeneration": 999, "conditions": [
        {"type": "Ready", "status": "True", "reason": "Applied", "lastTransitionTime": "2026-11-29T12:00:00Z"}]}}'""")
    printed = {words for _, words in ADVICE} | NAMED_ONLY  # what the plugin prints is no command
    for command in set(inline_commands(page, "kubectl")) - printed:
        installed(command, **POOL)


@pytest.mark.parametrize("page", BLOCKS)
def test_every_command_whose_output_a_page_shows_is_accepted(installed, page):
    for language, text in blocks(page):
        if language == "console" and text.startswith("$ kubectl"):  # jobtide's own: tests/postgres/doctor
            command, heading, *_ = text.splitlines()
            printed = installed(command.removeprefix("$ ")).partition("\n")[0]
            assert " get " not in command or printed.split() in ([], heading.split())


def test_every_command_of_kubectl_in_the_runbooks_is_accepted(installed):
    shown_commands = [shlex.join(words) for words in runbooks.shell_commands("kubectl")]
    named = [command for page in runbooks.PAGES for command in inline_commands(page, "kubectl")]
    # These end what is not here: a node, a pod.
    once = [command for command in named if not command.startswith("kubectl delete")]
    for command in {*shown_commands, *runbooks.console_commands(), *once} - NAMED_ONLY:
        installed(command)


def test_the_three_commands_of_explain_print_the_pool(installed):
    printed = installed(shown(EXPLAIN, "three commands"))
    assert "thumbs" in printed
    assert "media/thumbs" in printed


def test_a_pause_a_pin_and_their_ends_are_those_of_the_page(installed, spec):
    rows = re.findall(r"^\| ([\w ]+) \| `(kubectl [^`]*)`", (ROOT / OPERATIONS).read_text(), re.MULTILINE)
    how = dict(rows)
    installed(how["pause"], **POOL)
    installed("""kubectl patch jwp thumbs --type merge --patch '{"spec":{"pausedUntil":"2030-01-01T00:00:00Z"}}'""")
    assert {"paused": True, "pausedUntil": "2030-01-01T00:00:00Z"}.items() <= spec().items()
    installed(how["resume"], **POOL)
    assert (spec()["paused"], "pausedUntil" in spec()) == (False, False)
    installed(how["a fixed number"], **POOL)
    assert spec()["replicas"] == 5
    installed(how["automatic again"], **POOL)
    assert "replicas" not in spec()


def test_a_tenant_is_paused_and_resumed_as_on_the_page(installed, spec):
    pause, resume = shown(OPERATIONS, "pause a tenant").splitlines()
    installed(pause)
    assert list(spec()["tenants"]["overrides"].values()) == [0]
    installed(resume)
    assert spec()["tenants"].get("overrides", {}) == {}


def test_the_pools_of_the_example_are_applied_with_the_image_that_its_page_builds(installed):
    folder = shlex.quote(str((ROOT / FIRST_POOL).parent))
    url = "WORKER_DATABASE_URL=postgresql://worker@db.example.com/app"
    installed(f"cd {folder}; {url}\n" + shown(FIRST_POOL, "in a cluster"))
    listed = installed(shown(FIRST_POOL, "watch").replace("--watch", "--output=jsonpath={..image}")).split()
    assert listed == ["registry.example.com/acme/first-pool:1"] * 2
    installed("kubectl delete namespace demo --wait=false")


def test_the_commands_of_operations_and_install_run_in_their_order(installed):
    """Upgrade, go back, inspect, uninstall, adopt, remove everything; then the install of the other page."""
    installed(shown(OPERATIONS, "upgrade"))
    image = "kubectl get deployment/jobtide --namespace jobtide-system --output=jsonpath={..image}"
    kept = installed(image)
    assert kept == f"registry.example.com/jobtide/controller:{__version__}"
    before = ensure_before()
    installed(f"cd {before.tree}\n" + shown(OPERATIONS, "keep the newer CRD"))
    assert installed(image).endswith(f":{before.version}")
    assert installed("kubectl get jwp --output=name") == "jobworkerpool.jobtide.dev/thumbs\n"
    installed(shown(OPERATIONS, "upgrade").rstrip() + " --reset-then-reuse-values --set crds.enabled=true")
    assert installed(image) == kept
    inspected = shown(OPERATIONS, "inspect")
    assert "kubectl logs deployment/jobtide " in inspected
    installed(inspected.replace("kubectl logs", "kubectl get"), **POOL)  # there is no pod that has a log

    installed(shown(OPERATIONS, "uninstall"))
    assert installed("kubectl get jwp --output=name") == "jobworkerpool.jobtide.dev/thumbs\n"
    installed(shown(OPERATIONS, "adopt the CRD"), NAME="other", NAMESPACE="jobtide-system")
    installed("helm install other charts/jobtide --namespace jobtide-system")
    installed("helm uninstall other --namespace jobtide-system")
    installed(shown(OPERATIONS, "remove everything"))
    assert installed("kubectl api-resources --api-group=jobtide.dev --output=name") == ""

    # On a new cluster: without what the quickstart has made.
    secret = shown(INSTALL, "secret of the controller").partition("\n")
    assert secret[0] == "kubectl create namespace jobtide-system"
    installed("kubectl delete secret jobtide-db --namespace jobtide-system")
    installed(secret[2])
    installed(shown(INSTALL, "build and install"))
    installed(shown(INSTALL, "secret of the workers"))
