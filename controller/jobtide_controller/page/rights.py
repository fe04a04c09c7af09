"""Pure: what a viewer may do, and which types of jobs follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Verb = Literal["list", "patch", "payloads"]
VERBS: tuple[Verb, ...] = ("list", "patch", "payloads")


class User(NamedTuple):
    """Who asks, as the API server knows them."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def is_same(self, other: User) -> bool:
        """Whether these are one user: `extra` has the id of the token, and the groups may change with the next one."""
        return (self.name, self.uid) == (other.name, other.uid)


@dataclass(frozen=True, slots=True)
class Rights:
    """The namespaces in which a viewer may list pools, change them, and see payloads. Equal rights share answers."""

    sees: frozenset[str] = frozenset()
    acts: frozenset[str] = frozenset()
    payloads: frozenset[str] = frozenset()

    def namespaces(self, verb: Verb) -> frozenset[str]:
        """Where this verb is allowed. Nothing is allowed where pools may not be listed."""
        match verb:
            case "list":
                return self.sees
            case "patch":
                return self.acts & self.sees
            case "payloads":
                return self.payloads & self.sees


class Serving(NamedTuple):
    """One pool as far as rights concern it."""

    namespace: str
    database: str
    types: tuple[str, ...]


def types_allowed(pools: Iterable[Serving], database: str, rights: Rights, verb: Verb) -> frozenset[str]:
    """The types of a database whose jobs a viewer may see, or act on.

    Each pool that serves the type must be in a namespace with the right: else a user who may create pools in one
    namespace could name another one's types there, and see its jobs.
    """
    allowed, refused = set[str](), set[str]()
    namespaces = rights.namespaces(verb)
    for pool in pools:
        if pool.database == database:
            (allowed if pool.namespace in namespaces else refused).update(pool.types)
    return frozenset(allowed - refused)
