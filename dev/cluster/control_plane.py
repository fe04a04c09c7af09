"""An API server for tests: kube-apiserver on a free loopback port, and its etcd; they end with this process."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from dev.cluster.components import (
    Endpoints,
    apiserver_arguments,
    controller_manager_arguments,
    etcd_arguments,
    kubeconfig_text,
)
from dev.cluster.pki import Credentials, ensure_credentials
from dev.machine import unix_http
from dev.machine.errors import DevError
from dev.machine.ports import free_ports
from dev.machine.private import private_directory, write_private
from dev.machine.shell import last_lines
from dev.machine.wait import answers, wait_until
from dev.tools.toolchain import ensure_tools

STOP_WITHIN_SECONDS = 10.0

# "Parent" in PR_SET_PDEATHSIG means the thread that started the child. This thread lives as long as the process; the
# thread of a test may not.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="control-plane")


@dataclass(slots=True)
class ControlPlane:
    """A running API server. `stop_apiserver` and `start_apiserver` make an outage at the same address."""

    directory: Path
    endpoints: Endpoints
    credentials: Credentials
    binaries: dict[str, Path]
    controllers: bool
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def url(self) -> str:
        return self.endpoints.url

    @property
    def token(self) -> str:
        return self.credentials.token

    @property
    def authority(self) -> Path:
        return self.credentials.authority

    @property
    def kubectl(self) -> Path:
        return self.binaries["kubectl"]

    def pid(self, name: str) -> int:
        """The process of a component, such as kube-apiserver; raises KeyError if it does not run."""
        return self._running[name].pid

    def start_apiserver(self) -> None:
        """Returns when it answers and the namespace `default` exists."""
        admission = [] if self.controllers else ["--disable-admission-plugins=ServiceAccount"]
        arguments = [
            *apiserver_arguments(self.endpoints, self.credentials),
            f"--bind-address={self.endpoints.address}",
            "--endpoint-reconciler-type=none",  # a loopback address can't be an endpoint
            *admission,
        ]
        self._start("kube-apiserver", arguments)
        self._await_url("kube-apiserver", f"{self.url}/readyz")
        self._await_url("kube-apiserver", f"{self.url}/api/v1/namespaces/default")

    def stop_apiserver(self) -> None:
        """SIGKILL, as in a crash: a graceful end would wait for the watches to end."""
        process = self._running.pop("kube-apiserver", None)
        if process is not None:
            process.kill()
            process.wait()

    def start(self) -> None:
        self._start("etcd", etcd_arguments(self.directory / "etcd", self.endpoints))
        self._await("etcd", self.endpoints.etcd_url, lambda: unix_http.answers(self.endpoints.etcd_socket, "/readyz"))
        self.start_apiserver()
        text = kubeconfig_text(name="jobtide-test", url=self.url, credentials=self.credentials)
        write_private(self.kubeconfig, text)
        if self.controllers:
            arguments = controller_manager_arguments(self.endpoints, self.credentials, self.kubeconfig)
            self._start("kube-controller-manager", arguments)
            default_account = "api/v1/namespaces/default/serviceaccounts/default"
            self._await_url("kube-controller-manager", f"{self.url}/{default_account}")

    def stop(self) -> None:
        self.stop_apiserver()
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(STOP_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        shutil.rmtree(self.directory / "etcd", ignore_errors=True)

    def _start(self, name: str, arguments: Sequence[str]) -> None:
        if name in self._running:
            raise DevError(f"{name} is running already in {self.directory}: stop it before starting it again")
        command: list[str | Path] = ["setpriv", "--pdeathsig", "KILL", "--", self.binaries[name], *arguments]
        self._running[name] = _spawner.submit(self._spawn, name, command).result()

    def _spawn(self, name: str, command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        with self._log(name).open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory)

    def _await_url(self, name: str, url: str) -> None:
        self._await(name, url, lambda: answers(url, token=self.token, authority=self.authority))

    def _await(self, name: str, url: str, healthy: Callable[[], bool]) -> None:
        def ready() -> bool:
            if self._running[name].poll() is not None:
                raise DevError(f"{name} ended instead of starting: {self._end_of_log(name)}")
            return healthy()

        wait_until(f"{name} answering at {url}", ready, reason=lambda: self._end_of_log(name))

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _end_of_log(self, name: str) -> str:
        return last_lines(self._log(name).read_text(errors="replace"))


@contextlib.contextmanager
def control_plane(
    directory: Path, *, controllers: bool = False, apiserver: str = "kube-apiserver"
) -> Iterator[ControlPlane]:
    """A control plane in `directory` on ports of its own, so that several can run at once.

    With `controllers`, kube-controller-manager runs too: garbage collection, Deployments, namespaces.
    Without, pods are accepted although no controller makes the service account `default`. `apiserver` is a tool.
    """
    names = ["etcd", apiserver, "kubectl", *(["kube-controller-manager"] if controllers else [])]
    binaries = ensure_tools(*names)
    private_directory(directory)
    apiserver_port, controller_manager_port = free_ports(2)
    plane = ControlPlane(
        directory=directory,
        endpoints=Endpoints("127.0.0.1", apiserver_port, directory.absolute() / "etcd.sock", controller_manager_port),
        credentials=ensure_credentials(
            directory / "pki",
            names=["IP:127.0.0.1", "DNS:localhost", "DNS:kubernetes.default.svc"],
        ),
        binaries={**binaries, "kube-apiserver": binaries[apiserver]},
        controllers=controllers,
    )
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
