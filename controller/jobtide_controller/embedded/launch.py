"""Starts a worker as its pool's pod template would, as far as a process of this machine can."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.embedded.crew import Worker
from jobtide_controller.embedded.process import LOOPBACK, Process
from jobtide_controller.render.container import worker_settings

# They would come before, or beside, the database that this session works on.
_OTHER_DATABASES = ("JOBTIDE_DATABASE_URL_FILE", "JOBTIDE_DATABASE_URL")


@dataclass(frozen=True, slots=True)
class Launcher:
    """`environment` is that of the command, which the template's own variables come before."""

    app: str
    url: str
    directory: Path
    environment: Mapping[str, str]

    async def __call__(self, pool: JobWorkerPool, worker: Worker, port: int) -> Process:
        """Raises NotStartedError."""
        command = [sys.executable, "-m", "jobtide", "worker", self.app]
        return await Process.start(command, self.settings(pool, worker, port), self.directory)

    def settings(self, pool: JobWorkerPool, worker: Worker, port: int) -> dict[str, str]:
        """What a pod of this pool gets, in this session's database, on the loopback address."""
        return {
            **self.base,
            **worker_settings(pool, port=port),
            **_of_template(pool),
            "JOBTIDE_DATABASE_URL": self.url,
            "JOBTIDE_POD_UID": worker.uid,
            "JOBTIDE_POD_NAME": worker.name,
            "JOBTIDE_HTTP_HOST": LOOPBACK,
            "JOBTIDE_HTTP_PORT": str(port),
        }

    @property
    def base(self) -> dict[str, str]:
        """What every process that imports the application gets."""
        given = {name: value for name, value in self.environment.items() if name not in _OTHER_DATABASES}
        return {"PYTHONUNBUFFERED": "1", **given, "JOBTIDE_DATABASE_URL": self.url}


def _of_template(pool: JobWorkerPool) -> dict[str, str]:
    """The values in the template. What comes from a Secret, a ConfigMap or a pod's field is not on this machine."""
    containers = pool.spec.template["spec"]["containers"]
    (container,) = (one for one in containers if one["name"] == "worker")
    return {
        entry["name"]: str(entry["value"]) for entry in container.get("env") or () if entry.get("value") is not None
    }
