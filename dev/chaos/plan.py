"""What breaks, when, and for how long: the same seed makes the same plan."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

CALM_SECONDS = 10.0  # before the first fault: the pools come up undisturbed
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 12.0
WAITING_SHARE = 0.5  # of the faults come only when everything before them has recovered


class Victim(StrEnum):
    """What is struck once at a time: nobody can kill what is frozen, or free what is dead."""

    POSTGRES = "postgres"
    API_SERVER = "kube-apiserver"
    ETCD = "etcd"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    KUBELET = "kubelet"
    CONTROLLER = "controller"
    WORKER = "worker"


class Kind(StrEnum):
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


@dataclass(frozen=True, slots=True)
class Manner:
    """Who is struck, and between how many seconds it lasts; 0: a blow after which it must get up by itself."""

    victim: Victim
    shortest_seconds: float = 0.0
    longest_seconds: float = 0.0


# The kubelet is never away for the 50 s after which Kubernetes gives up the only node and all its endpoints.
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
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes `pause_seconds` after the one before it, or after all before it have recovered."""

    kind: Kind
    pause_seconds: float
    lasts_seconds: float
    waits: bool
    dice: float  # from 0 to 1: which of several it strikes

    @property
    def victim(self) -> Victim:
        return MANNERS[self.kind].victim


def make_plan(seed: int, seconds: int) -> tuple[Fault, ...]:
    """As many as fit if none had to wait; those that are not reached in time are not struck."""
    dice = random.Random(f"faults {seed}")  # the faults don't depend on how the load is made
    plan: list[Fault] = []
    at = CALM_SECONDS
    for kind in _kinds(dice):
        fault = _fault(kind, dice)
        at += fault.pause_seconds
        if at + fault.lasts_seconds > seconds:
            return tuple(plan)
        plan.append(fault)
    raise AssertionError  # the kinds never run out


def _kinds(dice: random.Random) -> Iterator[Kind]:
    """Every kind comes once before any comes twice."""
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
