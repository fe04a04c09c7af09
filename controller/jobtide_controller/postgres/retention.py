"""Deletes one batch of ended jobs, on a connection beside that of the readings."""

from __future__ import annotations

import json
import time

from jobtide.sql import load
from jobtide_controller.decide.retention import Batch, Deleted
from jobtide_controller.postgres.readings import SQL_PACKAGE
from jobtide_controller.postgres.session import Session

TIMEOUT_SECONDS = 5.0
# A row that another client holds is not worth a longer wait: the next pass finds it again.
LOCK_SECONDS = 0.05


def delete_ended(session: Session, batch: Batch, *, lock_seconds: float = LOCK_SECONDS) -> Deleted:
    """Deletes at most `batch.most` rows. Raises psycopg.Error; nothing was deleted then."""
    started = time.monotonic()
    (row,) = session.run(
        load(SQL_PACKAGE, "delete_ended"),
        {
            "status": batch.status,
            "seconds": json.dumps(dict(batch.seconds)),
            "youngest_seconds": min(batch.seconds.values()),
            "after_at": batch.after,
            "row_count": batch.rows,
            "most": batch.most,
        },
        timeout_seconds=TIMEOUT_SECONDS,
        lock_seconds=lock_seconds,
    )
    seconds = time.monotonic() - started
    return Deleted(row["until_at"], row["found"], row["deleted"] or {}, row["oldest_left"] or {}, seconds)
