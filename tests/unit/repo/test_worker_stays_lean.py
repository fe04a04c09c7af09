"""The worker lives in users' images: importing it must load psycopg and the standard library, nothing else."""

from __future__ import annotations

import subprocess
import sys

FORBIDDEN = ("pydantic", "kopf", "kubernetes", "aiohttp", "prometheus_client", "yaml", "jobtide_controller", "click",
             "sqlalchemy", "django", "asyncpg")  # fmt: skip
THIRD_PARTY = """
import sys, sysconfig
import jobtide, jobtide.__main__, jobtide.commands.worker, jobtide.schema.cli, jobtide.telemetry.status_server
known = set(sys.stdlib_module_names)
print(*sorted({name.split(".")[0] for name in sys.modules} - known))
"""


def test_the_worker_imports_psycopg_and_nothing_else():
    loaded = subprocess.run([sys.executable, "-Sc", "import site; site.main()\n" + THIRD_PARTY], capture_output=True,
                            text=True, check=True).stdout.split()  # fmt: skip
    assert "psycopg" in loaded
    assert not set(loaded) & set(FORBIDDEN)


def test_the_public_names_are_these():
    import jobtide

    assert sorted(jobtide.__all__) == [
        "Context", "Fail", "Job", "NewJob", "Retry", "Snooze", "Tide", "__version__",
        "enqueue", "enqueue_async", "enqueue_many", "enqueue_many_async", "slot_of",
    ]  # fmt: skip
    assert all(hasattr(jobtide, name) for name in jobtide.__all__)
