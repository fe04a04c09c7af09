"""The worker as the first process of a container: in an image without an init, it must do what an init does."""

from __future__ import annotations

import os
import signal

_FIRST = 1
_FORWARDED = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
}


def leave_first_process() -> None:
    """As process 1, returns in a fork, which is the worker; process 1 stays, forwards signals and reaps orphans.

    Does nothing in any other process. Call it while there is only one thread.
    """
    if os.getpid() != _FIRST:
        return
    watched = _FORWARDED | {signal.SIGCHLD}
    # Blocked signals wait for sigwait; others would be lost, since the kernel protects process 1 from them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    worker = os.fork()
    if worker == 0:
        os.setpgid(0, 0)  # else Ctrl-C in a terminal would come twice, which skips the drain
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    while True:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            os.kill(worker, number)
        elif (status := _reap(worker)) is not None:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _reap(worker: int) -> int | None:
    """Reaps all that have exited: one SIGCHLD may stand for several. The worker's status if it is among them."""
    found = None
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == worker:
                found = ended[1]
    except ChildProcessError:
        pass
    return found
