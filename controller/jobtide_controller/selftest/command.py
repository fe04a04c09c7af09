"""`jobtide-controller selftest`: what the pod of `helm test` runs."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

from kubernetes.aio.config import ConfigException

from jobtide.database_errors import url_of_file
from jobtide.printable import printable_lines
from jobtide_controller.kube.api.client import Api, load_configuration
from jobtide_controller.postgres.urls import URL_FILE, DatabaseUrls, NotConfiguredError
from jobtide_controller.selftest.pool import TestedPool
from jobtide_controller.selftest.rows import Rows
from jobtide_controller.selftest.steps import SelfTest

NO_TENANT = (
    "test.tenantId is {}: set it to tenants.id of the tenant that gets the test's job, as in "
    "helm upgrade RELEASE CHART --reset-then-reuse-values --set test.tenantId=UUID"
)


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0, 1 if a step failed, 2 for values that can't be used."""
    flags = _parser().parse_args(arguments)
    try:
        tenant_id = UUID(flags.tenant_id)
    except ValueError:
        return _wrong(NO_TENANT.format(f'"{flags.tenant_id}"' if flags.tenant_id else "not set"))
    try:
        return asyncio.run(_run(flags, tenant_id))
    except ConfigException as error:
        return _wrong(f"no configuration for the API server: {error}")


async def _run(flags: argparse.Namespace, tenant_id: UUID) -> int:
    spec = flags.pool["spec"]
    (type_,) = spec["types"]
    workers = partial(_workers_url, flags.workers_dir / URL_FILE, spec["databaseSecret"])
    controllers = partial(DatabaseUrls(flags.databases_dir).url, spec["database"])
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    api = Api(await load_configuration())
    try:
        rows = Rows(workers, controllers, type_, tenant_id)
        return 0 if await SelfTest(rows, TestedPool(api, flags.pool), _print).run(flags.seconds) else 1
    finally:
        await api.close()


def _workers_url(path: Path, secret: Mapping[str, str]) -> str:
    named = f"Secret {secret['name']} with the key {secret['key']}"
    try:
        return url_of_file(path, named)
    except OSError:
        raise NotConfiguredError(
            f"{named} is not in the release's namespace: create it, or name another one with test.secretName"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jobtide-controller selftest", description=__doc__, allow_abbrev=False)
    parser.add_argument("--tenant-id", default="", help="tenants.id of the job")
    parser.add_argument("--pool", required=True, type=json.loads, metavar="JSON", help="the pool, as a manifest")
    parser.add_argument("--workers-dir", required=True, type=Path, metavar="DIR", help="has the workers' url")
    parser.add_argument("--databases-dir", required=True, type=Path, metavar="DIR", help="as the controller's")
    parser.add_argument("--seconds", required=True, type=float, help="for all steps together")
    return parser


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it is a command


def _wrong(words: str) -> int:
    print(f"jobtide-controller selftest: {printable_lines(words)}", file=sys.stderr)  # noqa: T201 - it is a command
    return 2
