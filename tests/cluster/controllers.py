"""The controller as a process, and what a test reads of its work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev.machine.wait import wait_until


@dataclass
class Controller:
    """One process; `words` is its log up to now."""

    name: str
    env: dict[str, str]
    log: Path
    python: str | Path = sys.executable
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> Controller:
        with self.log.open("ab") as log:
            command = [self.python, "-m", "jobtide_controller"]
            self.process = subprocess.Popen(command, env=self.env, stderr=log, stdin=subprocess.DEVNULL)
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def port(self) -> int | None:
        lines = [line for line in self.words.splitlines() if '"port"' in line]
        return json.loads(lines[-1])["port"] if lines else None

    @property
    def words(self) -> str:
        return self.log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def environment(kubeconfig: Path, databases: Path, namespace: str) -> dict[str, str]:
    """Of a controller that watches one namespace, and holds its Lease there."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("JOBTIDE_")},
        "KUBECONFIG": str(kubeconfig),
        "JOBTIDE_DATABASES_DIR": str(databases),
        "JOBTIDE_NAMESPACES": namespace,
        "JOBTIDE_NAMESPACE": namespace,
        "JOBTIDE_HTTP_PORT": "0",
    }


def until(condition: Callable[[], Any], seconds: float = 90.0) -> Any:
    """The first true value of `condition()`; the test fails at the deadline. Most conditions run kubectl: a core."""
    return wait_until("what the test expects", condition, within_seconds=seconds, poll_seconds=0.2)


def condition(kubectl: Any, type_: str, pool: str = "thumbs") -> dict[str, Any]:
    status = kubectl.get("jobworkerpool", pool).get("status", {})
    return next((c for c in status.get("conditions", ()) if c["type"] == type_), {})


def holder(kubectl: Any) -> str | None:
    done = kubectl.run("get", "lease", "jobtide", "-o", "jsonpath={.spec.holderIdentity}")
    return done.stdout or None


def replicas_of(kubectl: Any, pool: str = "thumbs") -> int | None:
    done = kubectl.run("get", "deployment", f"{pool}-worker", "-o", "jsonpath={.spec.replicas}")
    return int(done.stdout) if done.returncode == 0 and done.stdout else None
