"""Each kind of fault as a context manager: it strikes on entry, and is undone and recovered from on exit."""

from __future__ import annotations

import contextlib
import signal
import time
import urllib.error
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, LiteralString, assert_never
from uuid import UUID

from dev.chaos.fleet import Fleet, Pod
from dev.chaos.plan import Fault, Kind, Victim
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
FREEZING = (Kind.API_SERVER_FROZEN, Kind.KUBELET_FROZEN)  # of the faults of the node's processes


@dataclass(frozen=True, slots=True)
class Faults:
    """Carries out planned faults, which may overlap: on the node, in PostgreSQL, on a pod or on these tenants' jobs."""

    node: Node
    postgres: PostgresServer
    fleet: Fleet
    api: Api
    tenants: tuple[UUID, ...]

    def struck(self, fault: Fault) -> AbstractContextManager[Target]:
        """Raises NoTargetError on entry if nothing can be struck, DevError on exit if the target did not recover."""
        match fault.victim:
            case Victim.POSTGRES:
                return self._postgres(fault)
            case (
                Victim.API_SERVER
                | Victim.ETCD
                | Victim.CONTROLLER_MANAGER
                | Victim.SCHEDULER
                | Victim.KUBELET as victim
            ):
                strike = self.node.frozen if fault.kind in FREEZING else self.node.killed
                return _named(victim, strike(victim))
            case Victim.CONTROLLER:
                return self._leader(fault)
            case Victim.WORKER:
                return self._worker(fault)
            case Victim.ROWS:
                return self._rows_locked(fault)
            case Victim.WORKER_LOGIN:
                return self._workers_refused(fault)
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

    @contextlib.contextmanager
    def _rows_locked(self, fault: Fault) -> Iterator[Target]:
        with contextlib.ExitStack() as stack:
            with _skippable():
                jobs = stack.enter_context(self.postgres.rows_locked(self.tenants, fault.dice))
            yield Target(" ".join(map(str, jobs)), jobs=jobs)

    @contextlib.contextmanager
    def _workers_refused(self, fault: Fault) -> Iterator[Target]:
        """A limit that is reached refuses new connections only, so some are ended."""
        changes: dict[Kind, tuple[LiteralString, LiteralString]] = {
            Kind.CONNECTIONS_LIMITED: ("CONNECTION LIMIT 1", "CONNECTION LIMIT -1"),
            Kind.LOGIN_REFUSED: ("NOLOGIN", "LOGIN"),
        }
        with contextlib.ExitStack() as stack:
            with _skippable():
                name = stack.enter_context(self.postgres.workers_refused(*changes[fault.kind], fault.dice))
            yield Target(name)

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
