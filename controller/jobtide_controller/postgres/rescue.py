"""Requeues the jobs of pods that are gone. Claims of workers outside Kubernetes are never touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from jobtide.database_errors import one_line
from jobtide.queue.refusals import RowRefused, isolate
from jobtide.sql import load
from jobtide_controller.decide.reading import is_pod_uid
from jobtide_controller.postgres.readings import SQL_PACKAGE
from jobtide_controller.postgres.session import Session

AT_MOST = 5_000
TIMEOUT_SECONDS = 10.0

Rows = list[dict[str, Any]]


def rescue(session: Session, gives_back: Mapping[str, bool]) -> dict[str, int]:
    """Requeues the jobs that these gone pods hold. Returns the number of jobs by pod UID.

    gives_back: by pod UID, True if the loss is not the jobs' fault, so that the attempt does not count.
    Raises psycopg.Error; if the server refused a row, only when there is nothing left that it accepts.
    """
    uids = sorted(uid for uid in gives_back if is_pod_uid(uid))
    if not uids:
        return {}
    gone = {"pod_uids": uids, "gives_back": [gives_back[uid] for uid in uids]}
    try:
        rows = _rescued(session, gone, None)
    except psycopg.Error as refusal:
        if not session.connected:
            raise
        rows = _by_tenant(session, gone)
        if not rows:
            raise refusal from None
    returned: dict[str, int] = {}
    for row in rows:
        returned[row["pod_uid"]] = returned.get(row["pod_uid"], 0) + 1
    return returned


def _by_tenant(session: Session, gone: Mapping[str, Any]) -> Rows:
    """After the server refused a row: the jobs of all tenants but those of that row, which are left to their leases."""
    tenants = session.run(load(SQL_PACKAGE, "rescue_tenants"), gone, timeout_seconds=TIMEOUT_SECONDS)
    rows: Rows = []

    def act(part: Sequence[UUID]) -> None:
        try:
            rows.extend(_rescued(session, gone, list(part)))
        except psycopg.Error as refusal:
            if not session.connected:
                raise
            raise RowRefused(one_line(refusal), refusal.sqlstate) from None

    if tenants:
        isolate([row["tenant_id"] for row in tenants], act, lambda *_: None)  # the next call raises what is left
    return rows


def _rescued(session: Session, gone: Mapping[str, Any], tenants: list[UUID] | None) -> Rows:
    return session.run(
        load(SQL_PACKAGE, "rescue_pod"),
        {**gone, "tenants": tenants, "at_most": AT_MOST},
        timeout_seconds=TIMEOUT_SECONDS,
    )
