"""The steps of the test, in their order, and what each line of its output says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import psycopg

from jobtide.database_errors import DatabaseUrlWrong, one_line
from jobtide.printable import printable_lines
from jobtide_controller.api.status import JobWorkerPoolStatus
from jobtide_controller.kube.api.client import ApiError
from jobtide_controller.plugin import why
from jobtide_controller.postgres.urls import NotConfiguredError
from jobtide_controller.selftest.pool import PoolOfOthersError, TestedPool
from jobtide_controller.selftest.rows import Row, Rows, TenantMissingError
from jobtide_controller.selftest.until import until

CONNECT_SECONDS = 10.0  # a network policy and the cluster's DNS may take a moment to know a new pod
CLEAN_SECONDS = 25.0  # Kubernetes gives the pod 30 s to end

Write = Callable[[str], None]
_EXPECTED = (
    ApiError, psycopg.Error, OSError, DatabaseUrlWrong, NotConfiguredError, PoolOfOthersError, TenantMissingError
)  # fmt: skip


class StepFailedError(Exception):
    """A step can't end well any more; the message says what was seen."""


class SelfTest:
    """One run. `write` gets its lines."""

    def __init__(self, rows: Rows, pool: TestedPool, write: Write) -> None:
        self._rows = rows
        self._pool = pool
        self._out = write
        self._payload = {"nonce": str(uuid4())}
        self._id: UUID | None = None
        self._may_be_added = False  # also without an id: the answer was not awaited
        self._steps: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("the database takes a job", self._add_job),
            ("the API server takes a pool", self._pool.create),
            ("the controller reads the pool's queue", self._wait_ready),
            ("a worker comes", self._wait_worker),
            ("the worker does the job", self._wait_done),
            ("the worker goes", self._wait_gone),
        )

    async def run(self, seconds: float) -> bool:
        """True if all steps were right; removes job and pool in every case."""
        failed = await self._run_steps(seconds)
        if failed is not None:
            await self._explain()
        left = await self._clean()
        if failed is None and left is None:
            self._write("The installation works.")
            return True
        self._write(f"FAILED: {failed or left}")
        return False

    async def _run_steps(self, seconds: float) -> str | None:
        """None, or the step that failed and why."""
        name, began = "", time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                for name, step in self._steps:
                    await step()
                    self._write(f"✓ {name} ({time.monotonic() - began:.1f} s)")
        except TimeoutError:
            reason = f"not within {seconds:g} s"
        except asyncio.CancelledError:
            reason = "the test was stopped"
        except StepFailedError as error:
            reason = str(error)
        except _EXPECTED as error:
            reason = one_line(error)
        else:
            return None
        self._write(f"✗ {name}: {reason}")
        return f"{name}: {reason}"

    async def _explain(self) -> None:
        """What `kubectl jobtide why` says of the pool."""
        try:
            pool = await self._pool.read()
        except ApiError:
            return
        if pool is not None:
            lines = why.render(pool, time.time()).splitlines()
            self._write("\n".join(f"    {line}".rstrip() for line in lines))

    async def _clean(self) -> str | None:
        """None, or what is left."""
        if not self._may_be_added:
            return None
        name = "pool and job are removed"
        try:
            async with asyncio.timeout(CLEAN_SECONDS):
                try:
                    await self._pool.delete()
                finally:
                    await until(self._is_removed)
        except TimeoutError:
            left = f"not within {CLEAN_SECONDS:g} s; the next test removes what is left"
        except _EXPECTED as error:
            left = one_line(error)
        else:
            self._write(f"✓ {name}")
            return None
        self._write(f"✗ {name}: {left}")
        return f"{name}: {left}"

    async def _is_removed(self) -> bool:
        """False while a worker runs it."""
        await self._rows.remove()
        return self._id is None or await self._rows.look(self._id) is None

    async def _add_job(self) -> None:
        deadline = time.monotonic() + CONNECT_SECONDS

        async def is_added() -> bool:
            try:
                await self._rows.remove()
                self._id = await self._add()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
            return self._id is not None

        await until(is_added)

    async def _add(self) -> UUID:
        self._may_be_added = True
        try:
            return await self._rows.add(self._payload)
        except Exception:
            self._may_be_added = False
            raise

    async def _wait_ready(self) -> None:
        async def is_ready() -> bool:
            status = await self._status()
            return status is not None and any((one.type, one.status) == ("Ready", "True") for one in status.conditions)

        await until(is_ready)

    async def _wait_worker(self) -> None:
        """A fast one has done the job before its pod counts as ready."""

        async def is_there() -> bool:
            status = await self._status()
            return status is not None and (status.ready_replicas > 0 or (await self._row()).status != "pending")

        await until(is_there)

    async def _wait_done(self) -> None:
        async def ended() -> Row | None:
            row = await self._row()
            return None if row.status in {"pending", "processing"} else row

        row = await until(ended)
        if (row.status, row.result) != ("completed", self._payload):
            raise StepFailedError(f"it ended as {row.status} with the result {row.result}")

    async def _wait_gone(self) -> None:
        async def is_gone() -> bool:
            status = await self._status()
            if status is None:
                return False
            newest = status.decisions[0] if status.decisions else None
            return newest is not None and newest.replicas == 0 < newest.replicas_before and status.replicas == 0

        await until(is_gone)

    async def _status(self) -> JobWorkerPoolStatus | None:
        pool = await self._pool.read()
        if pool is None:
            raise StepFailedError(f"the pool {self._pool} was deleted; does another test of this release run?")
        return pool.status

    async def _row(self) -> Row:
        assert self._id is not None
        row = await self._rows.look(self._id)
        if row is None:
            raise StepFailedError(f"the job {self._id} was deleted; does another test of this release run?")
        return row

    def _write(self, text: str) -> None:
        self._out(printable_lines(text))
