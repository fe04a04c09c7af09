"""The test's rows: added and looked at with the workers' login, deleted with the controller's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from jobtide.producer.enqueue import enqueue
from jobtide.sql import load
from jobtide_controller.postgres.session import Session
from jobtide_controller.postgres.thread import ConnectionThread

STATEMENT_SECONDS = 5.0
SQL_PACKAGE = "jobtide_controller.selftest.sql"

Result = TypeVar("Result")


class TenantMissingError(LookupError):
    """There is no row in tenants for the job."""


@dataclass(frozen=True, slots=True)
class Row:
    """The job as it is now."""

    status: str
    result: Any


class Rows:
    """All jobs of the test's type; no other program adds such jobs.

    Statements run in a thread, one at a time, so that a SIGTERM finds an event loop that does not wait for the server.
    """

    def __init__(self, workers: Callable[[], str], controllers: Callable[[], str], type_: str, tenant_id: UUID) -> None:
        self._workers, self._controllers = Session(workers), Session(controllers)
        self._thread = ConnectionThread("selftest")
        self._last: asyncio.Future[Any] | None = None
        self._type = type_
        self._tenant_id = tenant_id

    async def add(self, payload: Any) -> UUID:
        """The id of a new job. Raises TenantMissingError, psycopg.Error, or an error of the URL."""
        return await self._call(lambda: self._add(payload))

    async def look(self, id_: UUID) -> Row | None:
        """The job; None if it is deleted."""
        found = await self._call(lambda: _run(self._workers, "look", {"id": id_}))
        return Row(**found[0]) if found else None

    async def remove(self) -> None:
        """Ends what waits, and deletes what has ended: also of runs that were killed, or that had another tenant. A
        running job stays."""
        await self._call(self._remove)

    def _add(self, payload: Any) -> UUID:
        try:
            id_ = enqueue(self._workers.connect(), self._type, payload, tenant_id=self._tenant_id)
        except psycopg.errors.ForeignKeyViolation:
            raise TenantMissingError(
                f"the table tenants has no id {self._tenant_id}: set test.tenantId to that of a tenant"
            ) from None
        assert id_ is not None
        return id_

    def _remove(self) -> None:
        which = {"type": self._type}
        _run(self._workers, "end_waiting", which)
        _run(self._controllers, "delete_ended", which)

    async def _call(self, work: Callable[[], Result]) -> Result:
        """In the thread, after a statement whose caller was cancelled: what that did is known only when it returns."""
        if self._last is not None:
            await asyncio.wait({self._last})
        self._last = call = asyncio.ensure_future(self._thread.call(work))
        # An error is read also where no caller waits for it any more: asyncio would report it as lost.
        call.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(call)


def _run(session: Session, name: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    return session.run(load(SQL_PACKAGE, name), parameters, timeout_seconds=STATEMENT_SECONDS)
