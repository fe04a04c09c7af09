"""A thread for one connection: runs blocking calls, one at a time, that the event loop awaits. It starts with the
first call.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

_Call = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]
_Last = Callable[[], object]
_Calls = queue.SimpleQueue[_Call | _Last]


class BusyError(TimeoutError):
    """The previous call has not returned yet."""


class ConnectionThread:
    """A daemon thread, unlike an executor's: a connect that hangs does not keep the process from ending."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: _Calls | None = None  # of the thread that runs
        self._running = threading.Event()

    async def call(self, work: Callable[[], Result]) -> Result:
        """Runs `work` in the thread. Cancelling ends the wait, not the work. Raises BusyError."""
        if self._running.is_set():
            raise BusyError("the previous statement has not returned yet")
        self._running.set()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._started().put((loop, future, work))
        return await future

    @property
    def busy(self) -> bool:
        return self._running.is_set()

    @property
    def started(self) -> bool:
        return self._calls is not None

    def stop(self, last: _Last) -> None:
        """Ends the thread after the running call; it calls `last` before it ends. The next call starts another."""
        if self._calls is not None:
            self._calls.put(last)
            self._calls = None

    def _started(self) -> _Calls:
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(self._calls,), name=self._name, daemon=True).start()
        return self._calls

    def _work(self, calls: _Calls) -> None:
        while isinstance(call := calls.get(), tuple):
            loop, future, work = call
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - raised again where the call is awaited
                self._answer(loop, future, error=error)
            else:
                self._answer(loop, future, result=result)
        call()

    def _answer(
        self,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        *,
        result: Any = None,
        error: BaseException | None = None,
    ) -> None:
        def complete() -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._running.clear()
        if not loop.is_closed():
            loop.call_soon_threadsafe(complete)
