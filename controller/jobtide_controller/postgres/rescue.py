"""Requeues the jobs of pods that are gone. Claims of workers outside Kubernetes are never touched."""

from __future__ import annotations

from collections.abc import Mapping

from jobtide.sql import load
from jobtide_controller.decide.reading import is_pod_uid
from jobtide_controller.postgres.readings import SQL_PACKAGE
from jobtide_controller.postgres.session import Session

AT_MOST = 5_000
TIMEOUT_SECONDS = 10.0


def rescue(session: Session, gives_back: Mapping[str, bool]) -> dict[str, int]:
    """Requeues the jobs that these gone pods hold. Returns the number of jobs by pod UID.

    gives_back: by pod UID, True if the loss is not the jobs' fault, so that the attempt does not count.
    """
    uids = sorted(uid for uid in gives_back if is_pod_uid(uid))
    if not uids:
        return {}
    rows = session.run(
        load(SQL_PACKAGE, "rescue_pod"),
        {"pod_uids": uids, "gives_back": [gives_back[uid] for uid in uids], "at_most": AT_MOST},
        timeout_seconds=TIMEOUT_SECONDS,
    )
    returned: dict[str, int] = {}
    for row in rows:
        returned[row["pod_uid"]] = returned.get(row["pod_uid"], 0) + 1
    return returned
