"""`helm test` with real pods, by both Helms."""

from __future__ import annotations

import json
import os
import re
import subprocess
from subprocess import PIPE, STDOUT

import pytest

from dev.machine.shell import CommandError
from dev.stage.kubectl import Helm
from dev.stage.stage import RELEASE, SYSTEM_NAMESPACE
from dev.tools.toolchain import ensure_tools
from tests.e2e.work import Work, wait_for
from tests.pages import INSTALL, ROOT, shown

PLACE = ("--namespace", SYSTEM_NAMESPACE)
TYPE = f"jobtide-test.{SYSTEM_NAMESPACE}.{RELEASE}"


@pytest.fixture
def prepared(work: Work) -> Work:
    """With the workers' Secret in the release's namespace, as docs/install.md makes it."""
    work.stage.make_namespace(SYSTEM_NAMESPACE)
    return work


def without_times(text: str) -> str:
    return re.sub(r" \(\d+\.\d s\)$", "", text, flags=re.MULTILINE)


def pods_that_stay(work: Work) -> int | None:
    """The pods that run in the release's namespace; None while one of them is ending."""
    listed = work.stage.kubectl("get", "pods", *PLACE, "--output=json", "--field-selector=status.phase=Running")
    pods = json.loads(listed)["items"]
    return None if any("deletionTimestamp" in pod["metadata"] for pod in pods) else len(pods)


def left(work: Work) -> tuple[str, int]:
    """Pools of the release's namespace, and rows of the test's type."""
    with work.table.postgres.connect("main") as conn:
        (rows,) = conn.execute("SELECT count(*) FROM job_queue WHERE type = %s", [TYPE]).fetchone() or (None,)
    return work.stage.kubectl("get", "jobworkerpools", *PLACE, "--output", "name"), int(rows)


def test_the_commands_of_the_page_test_the_installation(prepared: Work) -> None:
    helm = prepared.stage.helm
    environ = {**os.environ, "PATH": f"{helm.program.parent}:{os.environ['PATH']}", "KUBECONFIG": str(helm.kubeconfig)}
    block = shown(INSTALL, "test").replace("TENANT", str(prepared.tenant))
    script = ["bash", "-euo", "pipefail", "-c", block]

    done = subprocess.run(script, cwd=ROOT, env=environ, stdout=PIPE, stderr=STDOUT, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert without_times(shown(INSTALL, "what the test prints")) in without_times(done.stdout)
    assert left(prepared) == ("", 0)


def test_a_worker_that_can_not_start_is_the_step_that_fails_with_the_words_of_kubernetes(prepared: Work) -> None:
    stage = prepared.stage
    stage.change(f"test.tenantId={prepared.tenant}", "test.timeoutSeconds=20")
    helm3 = Helm(ensure_tools("helm3")["helm3"], stage.kubectl.kubeconfig)
    # Room for the pods that are there, and for that of the test.
    pods = wait_for("no pod ending", lambda: pods_that_stay(prepared))
    stage.kubectl("create", "quota", "few", f"--hard=pods={pods + 1}", *PLACE)
    try:
        stage.kubectl("wait", "quota/few", f"--for=jsonpath={{.status.used.pods}}={pods}", *PLACE)
        with pytest.raises(CommandError):
            helm3("test", RELEASE, *PLACE)
        log = stage.kubectl("logs", f"{RELEASE}-test", *PLACE)
    finally:
        stage.kubectl("delete", "quota", "few", *PLACE)

    assert "✗ a worker comes: not within 20 s" in log
    assert "exceeded quota: few" in log
    assert log.endswith("✓ pool and job are removed\nFAILED: a worker comes: not within 20 s\n")
    assert left(prepared) == ("", 0)
