"""What a handler knows of its run: the job, its deadline, progress, and whether it was cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal
from uuid import UUID

from jobtide.job import Job, suspicion_of
from jobtide.payload import json_text

Cancellation = Literal["drain", "timeout", "lease lost"]


_making = threading.Lock()  # one for all contexts: a lock in each would cost time at each job


class Context:
    """The second argument of a handler that takes two."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.deadline: float | None = None  # time.monotonic(), set when the handler starts; None: no timeout
        self._waited_for: threading.Event | None = None  # made at first use: it costs as much as all else
        self.reported: str | None = None  # the last progress as JSON, stored with each lease extension
        self.cancelled_by: Cancellation | None = None
        self._on_cancel: Callable[[], object] | None = None

    @property
    def tenant_id(self) -> UUID:
        return self.job.tenant_id

    @property
    def attempt(self) -> int:
        return self.job.attempt

    @property
    def cancelled(self) -> bool:
        """True once the handler should stop soon: lease lost, drain time over, or timeout."""
        return self.cancelled_by is not None

    def wait_cancelled(self, seconds: float) -> bool:
        """Sleeps for up to `seconds`, until the job is cancelled. True if it is."""
        with _making:
            self._waited_for = self._waited_for or threading.Event()
        if self.cancelled_by is None:  # else `cancel` may have run before there was an event to set
            self._waited_for.wait(seconds)
        return self.cancelled

    def progress(self, fraction: float, note: str = "") -> None:
        """Reports how far the job is (0 to 1). Stored with the next extension of the lease, without an extra write.

        Raises ValueError for a fraction out of range or a note that jsonb can't store.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress({fraction!r}): expected a fraction from 0 to 1")
        suspicion = suspicion_of(self.job)  # stays in the row: the next crash must find it
        mark = {"suspect": suspicion} if suspicion else {}
        self.reported = json_text({"progress": {"fraction": fraction, "note": note}, **mark}, "the progress")

    def when_cancelled(self, call: Callable[[], object]) -> None:
        """Sets the one function to call at cancellation: the runner's way to stop a coroutine."""
        self._on_cancel = call

    def cancel(self, why: Cancellation) -> None:
        """Asks the handler to end; the first reason stays. Returns at once."""
        self.cancelled_by = self.cancelled_by or why
        if self._waited_for is not None:
            self._waited_for.set()
        if self._on_cancel is not None:
            self._on_cancel()
