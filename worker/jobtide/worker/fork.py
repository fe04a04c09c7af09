"""Forks of a worker by its handlers: `multiprocessing`, `os.fork()`. They must not act as the worker."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_HANDLED: dict[signal.Signals, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
_is_fork = False


def handle_signals(stop: Callable[..., Any]) -> None:
    """Calls `stop` at SIGTERM and SIGINT in this process alone: its forks get the default actions back."""
    for number in _HANDLED:
        signal.signal(number, stop)

    mask = threading.local()

    def block() -> None:
        # A signal that reaches the fork before the reset would be lost: it waits until then.
        mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.before)

    def reset() -> None:
        for number, default in _HANDLED.items():
            if signal.getsignal(number) == stop:  # else the application has set its own
                signal.signal(number, default)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=reset)
    notice_forks()


def notice_forks() -> None:
    """From now on `exit_if_forked` ends the forks of this process."""
    os.register_at_fork(after_in_child=_note)


def _note() -> None:
    global _is_fork  # noqa: PLW0603 - a fact about this process
    _is_fork = True


def exit_if_forked(error: BaseException | None = None) -> None:
    """Ends this process if a handler forked it and has now returned or raised in it, as at the end of a program.

    Without this, two processes would write the end of one job, and the fork would wait for jobs indefinitely.
    """
    if not _is_fork:
        return
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code & 0xFF)  # not sys.exit: this is not the main thread, and the connections are the worker's
