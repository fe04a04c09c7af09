"""What the pipeline knows about a pool beside its reading, fleet and decision."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overlap:
    """One type that several pools of one database handle: each sizes itself for the same jobs."""

    type: str
    pools: tuple[str, ...]  # the others, namespace/name


@dataclass(frozen=True, slots=True)
class Rollout:
    """The Deployment's own view of itself."""

    settled: bool = True  # it has seen its newest template, and all its pods run it
    deadline_exceeded: bool = False  # of its newest template: its condition Progressing is False
    paused: bool = False  # by somebody, with `kubectl rollout pause`
    replica_failure: str | None = None  # its condition ReplicaFailure, such as a quota that is used up


@dataclass(frozen=True, slots=True)
class Context:
    conflict: str | None = None  # a Deployment of our name that is not ours: whose it is
    apply_error: str | None = None  # the API server's words to the last write; None once one went through
    overlaps: tuple[Overlap, ...] = ()
    schema_warnings: tuple[str, ...] = ()  # it works, but slowly: a missing index, with its DDL
    rollout: Rollout = Rollout()
