"""A worker that kills its own process at a named point of its cycle: sys.argv[1], or "" to live.

It is built by jobtide.commands.worker itself, from parts that watch for their moment. The first round passes, so that
there is something to lose, and so that statements are prepared as they are in a worker that has run for a while.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from psycopg.pq import TransactionStatus

from jobtide import Context, Tide
from jobtide.commands import worker
from jobtide.commands.settings import from_environment
from jobtide.job import End
from jobtide.queue.job_queue import Claim, PostgresJobQueue
from jobtide.queue.ring import Ring
from jobtide.telemetry import events, logs

POINT = sys.argv[1]
_ROUND = 2  # in which it dies
_first_ends_written = threading.Event()
_claims = count()
_rounds: dict[str, count[int]] = {}

Answer = TypeVar("Answer")
tide = Tide()


@tide.job("note")
def note(payload: dict, ctx: Context) -> str:
    """Its side effect is a line in a file."""
    with Path(payload["file"]).open("a") as file:
        file.write(payload["line"] + "\n")
    reached("in the handler")
    if POINT in {"extending", "draining", "giving back"}:
        ctx.wait_cancelled(60)
        if ctx.cancelled:
            raise RuntimeError("cancelled")
    return "noted"


def reached(point: str) -> None:
    if point == POINT and next(_rounds.setdefault(point, count(1))) >= _ROUND:
        die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class DyingQueue(PostgresJobQueue):
    """Dies before, in the middle of, or after a statement."""

    def claim(self, ring: Ring, wanted: int, per_key: int) -> Claim:
        reached("before the claim")
        if next(_claims):  # otherwise all jobs might end in the first batch of ends
            _first_ends_written.wait(10)
        return self._dying_with("claim sent", lambda: PostgresJobQueue.claim(self, ring, wanted, per_key))

    def finish(self, ends: Sequence[End]) -> set[UUID]:
        if any(end.reason == "returned" for end in ends) and POINT == "giving back":
            return self._sent_and_dead(lambda: PostgresJobQueue.finish(self, ends))
        reached("end queued")
        passed = self._dying_with("finish sent", lambda: PostgresJobQueue.finish(self, ends))
        reached("finished")
        _first_ends_written.set()
        return passed

    def extend(self, contexts: Sequence[Context]) -> set[UUID]:
        if POINT == "extending":
            return self._sent_and_dead(lambda: PostgresJobQueue.extend(self, contexts))
        return super().extend(contexts)

    def _dying_with(self, point: str, ask: Callable[[], Answer]) -> Answer:
        if point == POINT and next(_rounds.setdefault(point, count(1))) >= _ROUND:
            return self._sent_and_dead(ask)
        return ask()

    def _sent_and_dead(self, ask: Callable[[], Answer]) -> Answer:
        """The statement has left this process, and no thread reads its answer."""
        connection = self._session.connection()
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        while asking.is_alive() and connection.info.transaction_status is not TransactionStatus.ACTIVE:
            pass
        die()
        raise AssertionError


def watch(event: events.Event) -> None:
    match event:
        case events.Claimed():
            reached("claimed")
        case events.Handled():
            reached("handler returned")
        case events.Draining() if POINT == "draining":
            die()
        case _:
            pass
    say(event)


def main() -> int:
    replaced: Any = worker
    replaced.PostgresJobQueue = DyingQueue
    replaced.logs.on_event = watch
    return worker.run_worker(from_environment(app="dying:tide"))


say = logs.on_event
