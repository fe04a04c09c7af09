"""New."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal
from uuid import UUID

from jobtide.job import Job
from jobtide.payload import json_text

Cancellation = Literal["drain", "timeout", "lease lost"]


_making = threading.Lock()


class Context:
    """What a handler may ask for as its second argument."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.deadline: float | None = None  # time.monotonic(), set when the handler starts; None: no timeout
        self._waited_for: threading.Event | None = None  # made when asked for: it costs as much as all the rest
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
        """True once the result is no longer wanted: lease lost, drain time over, timeout. Stop soon."""
        return self.cancelled_by is not None

    def wait_cancelled(self, seconds: float) -> bool:
        """Waits up to `seconds` for cancellation; True if it came. The interruptible form of sleep."""
        with _making:
            self._waited_for = self._waited_for or threading.Event()
        if self.cancelled_by is None:  # or else `cancel` may have looked before there was an event
            self._waited_for.wait(seconds)
        return self.cancelled

    def progress(self, fraction: float, note: str = "") -> None:
        """Remembers how far the job is (0 to 1); it is stored when the lease is next extended, at no extra write."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress({fraction!r}): expected a fraction from 0 to 1")
        self.reported = json_text({"progress": {"fraction": fraction, "note": note}}, "the progress")

    def when_cancelled(self, call: Callable[[], object]) -> None:
        """How the runner stops this job where it can be stopped: the task of a coroutine."""
        self._on_cancel = call

    def cancel(self, why: Cancellation) -> None:
        self.cancelled_by = self.cancelled_by or why
        if self._waited_for is not None:
            self._waited_for.set()
        if self._on_cancel is not None:
            self._on_cancel()
