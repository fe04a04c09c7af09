"""The notes of the chart, run as a script."""

from __future__ import annotations

import os
import subprocess

from dev.stage.stage import RELEASE, SYSTEM_NAMESPACE
from tests.e2e.work import Work


def test_the_notes_are_a_script_that_works(work: Work) -> None:
    helm, kubectl = work.stage.helm, work.stage.kubectl
    place = ("--namespace", SYSTEM_NAMESPACE)
    work.stage.make_namespace(SYSTEM_NAMESPACE)  # has the Secret of the workers
    pool = (f"notes.image={work.image}", "notes.type=notes.hold", "notes.app=handlers:tide")
    work.stage.change(*pool, f"test.tenantId={work.tenant}")
    notes = helm("get", "notes", RELEASE, *place).removeprefix("NOTES:\n")
    path = f"{kubectl.program.parent}:{helm.program.parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "KUBECONFIG": str(kubectl.kubeconfig)}

    try:
        script = ["bash", "-euo", "pipefail"]
        done = subprocess.run(script, input=notes, env=environ, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert "jobworkerpool.jobtide.dev/first-pool condition met" in done.stdout
        lines = done.stdout.splitlines()
        listed = next(number for number, line in enumerate(lines) if line.startswith("NAME "))
        assert lines[listed].split()[:3] == ["NAME", "PENDING", "OLDEST"]
        assert lines[listed + 1].split()[:2] == ["first-pool", "0"]
        assert "The installation works." in done.stdout + done.stderr
    finally:
        kubectl("delete", "jwp", "first-pool", *place, "--ignore-not-found")
