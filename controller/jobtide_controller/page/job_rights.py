"""Which jobs of a database a viewer may see or change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from jobtide.operate.filters import JobFilter
from jobtide_controller.page.feed import Published
from jobtide_controller.page.problems import problem
from jobtide_controller.page.rights import Rights, Serving, Verb, types_allowed

_WORDS: dict[Verb, str] = {"list": "see", "patch": "change", "payloads": "see the payloads of"}


class JobRights:
    """The rights of one viewer on the jobs of one database."""

    def __init__(self, published: Published, rights: Rights, database: str, verb: Verb) -> None:
        pools = [Serving(entry.ref.namespace, entry.database, entry.types) for entry in published.snapshot.pools]
        own = [pool for pool in pools if pool.database == database]
        namespaces = rights.namespaces(verb)
        self._verb = verb
        self._database = database
        self.all = bool(own) and all(pool.namespace in namespaces for pool in own)
        """All jobs, also of types that no pool handles."""
        self.types = types_allowed(own, database, rights, verb)

    @property
    def any(self) -> bool:
        return self.all or bool(self.types)

    def allows(self, type_: str) -> bool:
        return self.all or type_ in self.types

    def check(self, types: Iterable[str]) -> None:
        """Raises the refusal if one of these jobs is not allowed."""
        refused = sorted({type_ for type_ in types if not self.allows(type_)})
        if refused:
            raise self._refusal(f"jobs of type {refused[0][:80]}")

    def check_any(self) -> None:
        """Raises the refusal if no job is allowed."""
        if not self.any:
            raise self._refusal("jobs")

    def narrowed(self, which: JobFilter) -> JobFilter:
        """The filter, with the only type that is allowed where there is one. Raises the refusal.

        Jobs that are named by id are checked by their type, once it is known.
        """
        self.check_any()
        if self.all or which.id is not None:
            return which
        if which.type is not None:
            self.check([which.type])
            return which
        if len(self.types) == 1:
            return replace(which, type=next(iter(self.types)))
        names = ", ".join(sorted(self.types)[:20])
        raise problem(400, f"you may {_WORDS[self._verb]} jobs of some types only", f"name a type: {names}")

    def _refusal(self, what: str) -> Exception:
        verb = self._verb
        return problem(
            403,
            f"you may not {_WORDS[verb]} {what} of database {self._database[:80]}",
            f"ask for the right {verb} on jobworkerpools.jobtide.dev in every namespace whose pools handle them",
        )
