"""Free ports on this machine."""

from __future__ import annotations

import contextlib
import random
import socket

from dev.machine.errors import DevError

# Below Linux's range of source ports, so that no outgoing connection takes a port while its server restarts.
PORTS = range(20_000, 32_000)


def free_port(host: str = "127.0.0.1") -> int:
    """Returns a port of `host` that no program listens on; another program may take it at any time."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Distinct ports of `host` that no program listens on; each is held until all are found."""
    with contextlib.ExitStack() as held:
        found: list[int] = []
        for port in random.SystemRandom().sample(PORTS, len(PORTS)):
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                found.append(port)
            if len(found) == count:
                return found
    raise DevError(f"no {count} free ports from {PORTS.start} to {PORTS.stop - 1} on {host}")
