"""Who may see and do what: asked of the API server through a port, and remembered for some seconds."""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from jobtide_controller.page.rights import VERBS, Rights, User, Verb

REMEMBERED_SECONDS = 15.0  # a right that was withdrawn is gone after this
REFUSED_SECONDS = 60.0  # a new right shows after this: a user without rights may ask about a thousand namespaces
ANSWERS_MAX = 20_000
AT_ONCE = 8  # questions to the API server
AT_ONCE_OF_ONE = 4  # for one user's rights: those of a user with many namespaces don't delay other users


class NoAnswerError(Exception):
    """The API server could not be asked; the message says why."""


class Reviews(Protocol):
    """Answers of the API server."""

    async def authenticate(self, token: str) -> User | None:
        """Whose token this is; None: it is not valid. Raises NoAnswerError."""
        ...

    async def is_allowed(self, user: User, verb: Verb, namespace: str) -> bool:
        """Whether the user may do this with the pools of a namespace; "" is all namespaces. Raises NoAnswerError."""
        ...


class Access:
    """Remembers answers, also across viewers that are the same user. It belongs to one event loop."""

    def __init__(self, reviews: Reviews, monotonic: Callable[[], float]) -> None:
        self._reviews = reviews
        self._monotonic = monotonic
        self._answers: OrderedDict[tuple[User, Verb, str], tuple[bool, float]] = OrderedDict()
        self._rights: OrderedDict[User, tuple[frozenset[str], Rights, float]] = OrderedDict()
        self._asking: dict[tuple[User, frozenset[str]], asyncio.Task[Rights]] = {}
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def authenticate(self, token: str) -> User | None:
        """Whose token this is. Raises NoAnswerError."""
        async with self._at_once:
            return await self._reviews.authenticate(token)

    async def rights(self, user: User, namespaces: frozenset[str]) -> Rights:
        """What the user may do in these namespaces, at most REMEMBERED_SECONDS old. Raises NoAnswerError."""
        known = self._rights.get(user)
        if known is not None and known[0] == namespaces and self._monotonic() < known[2]:
            return known[1]
        key = user, namespaces
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask_rights(user, namespaces))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)

    async def rights_now(self, user: User, namespaces: frozenset[str]) -> Rights:
        """The same, asked again: before an action. Raises NoAnswerError."""
        for key in [key for key in self._answers if key[0] == user]:
            del self._answers[key]
        return await self._ask_rights(user, namespaces)

    async def _ask_rights(self, user: User, namespaces: frozenset[str]) -> Rights:
        asked_at = self._monotonic()
        sees = await self._allowed(user, "list", namespaces)
        rights = Rights(sees, *[await self._allowed(user, verb, sees) for verb in VERBS[1:]])
        self._rights[user] = namespaces, rights, asked_at + REMEMBERED_SECONDS
        self._rights.move_to_end(user)
        while len(self._rights) > ANSWERS_MAX // 10:
            self._rights.popitem(last=False)
        return rights

    async def _allowed(self, user: User, verb: Verb, namespaces: frozenset[str]) -> frozenset[str]:
        """One question where the right holds everywhere; else one for each namespace."""
        if not namespaces:
            return namespaces
        if await self._remembered(user, verb, ""):
            return namespaces
        names, own = sorted(namespaces), asyncio.Semaphore(AT_ONCE_OF_ONE)

        async def ask(name: str) -> bool:
            async with own:
                return await self._remembered(user, verb, name)

        answers = await asyncio.gather(*map(ask, names))
        return frozenset(name for name, allowed in zip(names, answers, strict=True) if allowed)

    async def _remembered(self, user: User, verb: Verb, namespace: str) -> bool:
        key = user, verb, namespace
        answer, until = self._answers.get(key, (False, 0.0))
        if self._monotonic() < until:
            return answer
        asked_at = self._monotonic()
        answer = await self._ask(user, verb, namespace)
        self._answers[key] = answer, asked_at + (REMEMBERED_SECONDS if answer else REFUSED_SECONDS)
        self._answers.move_to_end(key)
        while len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
        return answer

    async def _ask(self, user: User, verb: Verb, namespace: str) -> bool:
        async with self._at_once:
            return await self._reviews.is_allowed(user, verb, namespace)


class OneToken:
    """The reviews of `jobtide dev`: a browser with the token of this session may do everything."""

    def __init__(self, token: str, name: str) -> None:
        self._token = token.encode()
        self._user = User(name)

    async def authenticate(self, token: str) -> User | None:
        return self._user if hmac.compare_digest(token.encode(), self._token) else None

    async def is_allowed(self, user: User, verb: Verb, namespace: str) -> bool:
        del verb, namespace
        return user == self._user
