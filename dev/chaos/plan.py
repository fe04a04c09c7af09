"""Which faults strike when, and for how long: the same seed makes the same plan."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

CALM_SECONDS = 10.0  # before the first fault, so that the pools start undisturbed
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 12.0
WAITING_SHARE = 0.5  # of the faults wait until everything before them has recovered


class Victim(StrEnum):
    """What a fault strikes, one fault at a time: a dead process can't be frozen, a frozen one can't recover."""

    POSTGRES = "postgres"
    API_SERVER = "kube-apiserver"
    ETCD = "etcd"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    KUBELET = "kubelet"
    CONTROLLER = "controller"
    WORKER = "worker"
    ROWS = "rows"
    WORKER_LOGIN = "the workers' login"


class Kind(StrEnum):
    """Every fault that a run may have; its value is the name in the report."""

    POSTGRES_KILLED = "postgres killed"
    POSTGRES_BACKEND_KILLED = "postgres backend killed"
    POSTGRES_FROZEN = "postgres frozen"
    API_SERVER_KILLED = "api server killed"
    API_SERVER_FROZEN = "api server frozen"
    ETCD_KILLED = "etcd killed"
    CONTROLLER_MANAGER_KILLED = "controller manager killed"
    SCHEDULER_KILLED = "scheduler killed"
    KUBELET_KILLED = "kubelet killed"
    KUBELET_FROZEN = "kubelet frozen"
    LEADER_KILLED = "leader killed"
    LEADER_FROZEN = "leader frozen"
    LEADER_DELETED = "leader deleted"
    LEADER_DELETED_BY_FORCE = "leader deleted by force"
    LEADER_CUT_FROM_API_SERVER = "leader cut from api server"
    LEADER_CUT_FROM_POSTGRES = "leader cut from postgres"
    WORKER_KILLED = "worker killed"
    WORKER_FROZEN = "worker frozen"
    WORKER_DELETED = "worker deleted"
    WORKER_DELETED_BY_FORCE = "worker deleted by force"
    WORKER_CUT_FROM_POSTGRES = "worker cut from postgres"
    ROWS_LOCKED = "rows locked"
    CONNECTIONS_LIMITED = "worker connections limited"
    LOGIN_REFUSED = "worker login refused"


@dataclass(frozen=True, slots=True)
class Manner:
    """The victim, and the range of the duration; 0: the fault ends at once, and the victim must recover by itself."""

    victim: Victim
    shortest_seconds: float = 0.0
    longest_seconds: float = 0.0


# Shorter for the kubelet than the 50 s after which Kubernetes gives up the only node and all its endpoints.
MANNERS: dict[Kind, Manner] = {
    Kind.POSTGRES_KILLED: Manner(Victim.POSTGRES, 1, 12),
    Kind.POSTGRES_BACKEND_KILLED: Manner(Victim.POSTGRES),
    Kind.POSTGRES_FROZEN: Manner(Victim.POSTGRES, 2, 15),
    Kind.API_SERVER_KILLED: Manner(Victim.API_SERVER, 1, 15),
    Kind.API_SERVER_FROZEN: Manner(Victim.API_SERVER, 2, 15),
    Kind.ETCD_KILLED: Manner(Victim.ETCD, 1, 10),
    Kind.CONTROLLER_MANAGER_KILLED: Manner(Victim.CONTROLLER_MANAGER, 1, 15),
    Kind.SCHEDULER_KILLED: Manner(Victim.SCHEDULER, 1, 15),
    Kind.KUBELET_KILLED: Manner(Victim.KUBELET, 1, 20),
    Kind.KUBELET_FROZEN: Manner(Victim.KUBELET, 2, 20),
    Kind.LEADER_KILLED: Manner(Victim.CONTROLLER),
    Kind.LEADER_FROZEN: Manner(Victim.CONTROLLER, 2, 20),
    Kind.LEADER_DELETED: Manner(Victim.CONTROLLER),
    Kind.LEADER_DELETED_BY_FORCE: Manner(Victim.CONTROLLER),
    Kind.LEADER_CUT_FROM_API_SERVER: Manner(Victim.CONTROLLER, 5, 20),
    Kind.LEADER_CUT_FROM_POSTGRES: Manner(Victim.CONTROLLER, 5, 20),
    Kind.WORKER_KILLED: Manner(Victim.WORKER),
    Kind.WORKER_FROZEN: Manner(Victim.WORKER, 2, 20),
    Kind.WORKER_DELETED: Manner(Victim.WORKER),
    Kind.WORKER_DELETED_BY_FORCE: Manner(Victim.WORKER),
    Kind.WORKER_CUT_FROM_POSTGRES: Manner(Victim.WORKER, 5, 40),
    Kind.ROWS_LOCKED: Manner(Victim.ROWS, 3, 50),  # the lease of pool `short` is 30 s
    Kind.CONNECTIONS_LIMITED: Manner(Victim.WORKER_LOGIN, 5, 45),
    Kind.LOGIN_REFUSED: Manner(Victim.WORKER_LOGIN, 5, 25),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes `pause_seconds` after the previous fault, or, if it `waits`, after all previous ones have recovered."""

    kind: Kind
    pause_seconds: float
    lasts_seconds: float
    waits: bool
    dice: float  # from 0 to 1: selects one of several targets

    @property
    def victim(self) -> Victim:
        return MANNERS[self.kind].victim


def make_plan(seed: int, seconds: int) -> tuple[Fault, ...]:
    """As many faults as fit if none waits. Those that are not reached in time do not strike."""
    dice = random.Random(f"faults {seed}")  # independent of the workload
    plan: list[Fault] = []
    at = CALM_SECONDS
    for kind in _kinds(dice):
        fault = _fault(kind, dice)
        at += fault.pause_seconds
        if at + fault.lasts_seconds > seconds:
            return tuple(plan)
        plan.append(fault)
    raise AssertionError  # _kinds never ends


def _kinds(dice: random.Random) -> Iterator[Kind]:
    """Each kind once in random order, then each once again, without end."""
    while True:
        yield from dice.sample(list(Kind), k=len(Kind))


def _fault(kind: Kind, dice: random.Random) -> Fault:
    manner = MANNERS[kind]
    return Fault(
        kind=kind,
        pause_seconds=round(dice.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS), 1),
        lasts_seconds=round(dice.uniform(manner.shortest_seconds, manner.longest_seconds), 1),
        waits=dice.random() < WAITING_SHARE,
        dice=dice.random(),
    )
