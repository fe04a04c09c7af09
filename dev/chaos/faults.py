"""Each kind of fault as a context manager: it strikes on entry, and is undone and recovered from on exit."""

from __future__ import annotations

import contextlib
import signal
import time
import urllib.error
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, assert_never

from dev.chaos.fleet import Fleet, Pod
from dev.chaos.plan import Fault, Kind
from dev.chaos.server import PostgresServer
from dev.chaos.target import NoTargetError, Target
from dev.machine.errors import DevError
from dev.machine.wait import wait_until
from dev.stage.api import Api, NoAnswer
from dev.stage.guard import frozen, send
from dev.stage.node import Node
from dev.stage.processes import cut_off, processes_of

API_PORTS, POSTGRES_PORTS = (443, 6443), (5432,)
LEADER_WITHIN_SECONDS = 90.0  # Kubernetes' back-off may take most of it
DELETED_WITHIN_SECONDS = 30.0
ALREADY_DELETED = (404, 409)


@dataclass(frozen=True, slots=True)
class Faults:
    """Carries out planned faults, which may overlap: on the node, in PostgreSQL or on a pod of the fleet."""

    node: Node
    postgres: PostgresServer
    fleet: Fleet
    api: Api

    def struck(self, fault: Fault) -> AbstractContextManager[Target]:
        """Raises NoTargetError on entry if nothing can be struck, DevError on exit if the target did not recover."""
        match fault.kind:
            case Kind.POSTGRES_KILLED | Kind.POSTGRES_BACKEND_KILLED | Kind.POSTGRES_FROZEN:
                return self._postgres(fault)
            case (
                Kind.API_SERVER_KILLED
                | Kind.ETCD_KILLED
                | Kind.CONTROLLER_MANAGER_KILLED
                | Kind.SCHEDULER_KILLED
                | Kind.KUBELET_KILLED
            ):
                return _named(fault.victim, self.node.killed(fault.victim))
            case Kind.API_SERVER_FROZEN | Kind.KUBELET_FROZEN:
                return _named(fault.victim, self.node.frozen(fault.victim))
            case (
                Kind.LEADER_KILLED
                | Kind.LEADER_FROZEN
                | Kind.LEADER_DELETED
                | Kind.LEADER_DELETED_BY_FORCE
                | Kind.LEADER_CUT_FROM_API_SERVER
                | Kind.LEADER_CUT_FROM_POSTGRES
            ):
                return self._leader(fault)
            case (
                Kind.WORKER_KILLED
                | Kind.WORKER_FROZEN
                | Kind.WORKER_DELETED
                | Kind.WORKER_DELETED_BY_FORCE
                | Kind.WORKER_CUT_FROM_POSTGRES
            ):
                return self._worker(fault)
            case unknown:
                assert_never(unknown)

    @contextlib.contextmanager
    def _postgres(self, fault: Fault) -> Iterator[Target]:
        blocks = {
            Kind.POSTGRES_KILLED: lambda: self.postgres.killed(fault.lasts_seconds),
            Kind.POSTGRES_BACKEND_KILLED: lambda: self.postgres.backend_killed(fault.dice),
            Kind.POSTGRES_FROZEN: self.postgres.frozen,
        }
        with contextlib.ExitStack() as stack:
            with _skippable():
                name = stack.enter_context(blocks[fault.kind]())
            yield Target(name or "postgres")

    @contextlib.contextmanager
    def _leader(self, fault: Fault) -> Iterator[Target]:
        leader = self.fleet.leader()
        if leader is None:
            raise NoTargetError("no controller holds the lease")
        struck_at = time.time()
        with contextlib.ExitStack() as stack:
            with _skippable():
                stack.enter_context(self._pod(leader, fault.kind, "jobtide-controller"))
            yield Target(leader.name, leader.uid)
        wait_until(
            "a controller holding the lease",
            lambda: self.fleet.leader() is not None and self.fleet.holdings[-1].renewed_at > struck_at,
            within_seconds=LEADER_WITHIN_SECONDS,
        )

    @contextlib.contextmanager
    def _worker(self, fault: Fault) -> Iterator[Target]:
        workers = self.fleet.workers()
        if not workers:
            raise NoTargetError("no worker runs")
        worker = workers[int(fault.dice * len(workers))]
        with contextlib.ExitStack() as stack:
            with _skippable():
                stack.enter_context(self._pod(worker, fault.kind, "jobtide", "worker"))
            yield Target(worker.name, worker.uid)

    def _pod(self, pod: Pod, kind: Kind, *command: str) -> AbstractContextManager[Any]:
        match kind:
            case Kind.LEADER_KILLED | Kind.WORKER_KILLED:
                return _killed(pod, command)
            case Kind.LEADER_FROZEN | Kind.WORKER_FROZEN:
                return frozen(_pids(pod, command))
            case Kind.LEADER_DELETED | Kind.WORKER_DELETED:
                return self._deleted(pod, {})
            case Kind.LEADER_DELETED_BY_FORCE | Kind.WORKER_DELETED_BY_FORCE:
                return self._deleted(pod, {"gracePeriodSeconds": 0})
            case Kind.LEADER_CUT_FROM_API_SERVER:
                return cut_off(pod.uid, API_PORTS)
            case Kind.LEADER_CUT_FROM_POSTGRES | Kind.WORKER_CUT_FROM_POSTGRES:
                return cut_off(pod.uid, POSTGRES_PORTS)
            case other:
                raise AssertionError(f"{other} strikes no pod")

    @contextlib.contextmanager
    def _deleted(self, pod: Pod, options: dict[str, Any]) -> Iterator[None]:
        """Deletes the pod through the API server, as soon as it answers."""
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        only_this_one = {**options, "preconditions": {"uid": pod.uid}}
        wait_until(
            f"the deletion of pod {pod.name}",
            lambda: self._delete(path, only_this_one),
            within_seconds=DELETED_WITHIN_SECONDS,
        )
        yield

    def _delete(self, path: str, options: dict[str, Any]) -> bool:
        try:
            self.api.delete(path, options)
        except urllib.error.HTTPError as error:
            if error.code in ALREADY_DELETED:
                raise NoTargetError(f"{path} does not exist any more") from error
            return False
        except NoAnswer:
            return False
        return True


@contextlib.contextmanager
def _named(name: str, block: AbstractContextManager[None]) -> Iterator[Target]:
    with block:
        yield Target(name)


@contextlib.contextmanager
def _skippable() -> Iterator[None]:
    """Turns a DevError on entry into NoTargetError: only a failure to recover is a finding."""
    try:
        yield
    except NoTargetError:
        raise
    except DevError as error:
        raise NoTargetError(str(error)) from error


def _pids(pod: Pod, command: tuple[str, ...]) -> list[int]:
    found = [process.pid for process in processes_of(pod.uid, *command)]
    if not found:
        raise NoTargetError(f"pod {pod.name} runs no {' '.join(command)} at the moment")
    return found


@contextlib.contextmanager
def _killed(pod: Pod, command: tuple[str, ...]) -> Iterator[None]:
    for pid in _pids(pod, command):
        send(pid, signal.SIGKILL)
    yield
