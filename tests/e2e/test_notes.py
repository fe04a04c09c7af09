"""The notes of the chart, run as a script."""

from __future__ import annotations

import os
import subprocess

from dev.stage.stage import RELEASE, SYSTEM_NAMESPACE
from tests.e2e.work import Work


def test_the_notes_are_a_script_that_works(work: Work) -> None:
    helm, kubectl = work.stage.helm, work.stage.kubectl
    place = ("--namespace", SYSTEM_NAMESPACE)
    work.stage.change(f"notes.image={work.image}", "notes.type=notes.hold", "notes.app=handlers:tide")
    notes = helm("get", "notes", RELEASE, *place).removeprefix("NOTES:\n")
    path = f"{kubectl.program.parent}:{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, "KUBECONFIG": str(kubectl.kubeconfig)}

    try:
        script = ["bash", "-euo", "pipefail"]
        done = subprocess.run(script, input=notes, env=environ, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert "jobworkerpool.jobtide.dev/first-pool condition met" in done.stdout
        headings, row = done.stdout.rstrip().splitlines()[-2:]
        assert headings.split()[:3] == ["NAME", "PENDING", "OLDEST"]
        assert row.split()[:2] == ["first-pool", "0"]
    finally:
        kubectl("delete", "jwp", "first-pool", *place, "--ignore-not-found")
