"""An application that sets a signal's action for its own forks."""

from __future__ import annotations

import os
import signal

from jobtide import Tide

tide = Tide()


@tide.job("forks.own")
def forks_own(payload: object) -> str:
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(theirs, signal.Handlers(signal.getsignal(signal.SIGTERM)).name.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(ours, 100).decode()
