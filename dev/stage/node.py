"""The processes of the local node: killed or frozen for a while, and restarted as a service manager would."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from dev.cluster.local import LocalCluster, components
from dev.cluster.local.cluster import CERTIFICATE_NAMES, NODE_TOOLS
from dev.cluster.local.components import Component
from dev.cluster.pki import Credentials, ensure_credentials
from dev.cluster.provider import Cluster
from dev.machine.errors import DevError
from dev.machine.system import raise_file_limit
from dev.machine.wait import wait_until
from dev.stage.guard import frozen
from dev.tools.toolchain import ensure_tools

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """The local cluster's processes, by name. `_down` holds those that `kept_alive` must not restart yet."""

    cluster: LocalCluster
    credentials: Credentials
    components: dict[str, Component]
    _down: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def killed(self, name: str) -> Iterator[None]:
        """SIGKILL now; at the end of the block it is restarted and healthy."""
        with self._lock:
            self._down.add(name)
        try:
            self.cluster.daemons.kill(name)
            yield
        finally:
            with self._lock:
                self._down.discard(name)
                self._start_if_missing(name)
            self.wait_healthy(name)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stops the process inside the block; at the end it runs and is healthy."""
        with frozen(sorted(self.cluster.daemons.running(name))):
            yield
        self.wait_healthy(name)

    def wait_healthy(self, name: str) -> None:
        """Raises DevError if it is not healthy within READY_WITHIN_SECONDS."""
        wait_until(f"{name} being healthy", self.components[name].healthy)

    @contextlib.contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Restarts a component that ends because another one is down, as systemd or a static pod would."""
        keeper = threading.Thread(target=self._keep_alive, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._ended.set()
            keeper.join()

    def _keep_alive(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            for name in self.components:
                with self._lock:
                    if name not in self._down:
                        self._start_if_missing(name)

    def _start_if_missing(self, name: str) -> None:
        daemons = self.cluster.daemons
        if not daemons.running(name):
            daemons.start(name, self.components[name].command)


def require_local(cluster: Cluster) -> LocalCluster:
    """Returns the cluster if it is the local one; raises DevError for any other kind."""
    if not isinstance(cluster, LocalCluster):
        raise DevError(
            "chaos kills processes of the node, so it runs only on the local cluster: set CONTEXT=jobtide-local"
        )
    return cluster


def local_node(cluster: LocalCluster) -> Node:
    """The node of a running local cluster."""
    raise_file_limit()
    tools = ensure_tools(*NODE_TOOLS)
    credentials = ensure_credentials(cluster.layout.pki, names=CERTIFICATE_NAMES)
    parts = [
        *components.control_plane(cluster.layout, credentials, tools),
        *components.node(cluster.layout, tools),
    ]
    return Node(cluster, credentials, {part.name: part for part in parts})
