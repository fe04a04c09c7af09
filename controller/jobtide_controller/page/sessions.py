"""Who is logged in: sessions in memory, one-time tickets that begin one, and a limit on failed logins."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from jobtide_controller.page.rights import User

SESSION_SECONDS = 8 * 3600.0  # a night shift
IDLE_SECONDS = 3600.0  # without a request; an open page sends some
SESSIONS_MAX = 1000
SESSIONS_OF_ONE = 50  # user
TICKET_SECONDS = 60.0
TICKETS_MAX = 200
TICKETS_OF_ONE = 10  # user
TICKET_PREFIX = "jobtide-ticket-"

FAILURES_MAX = 10  # of one client, within FAILURE_SECONDS
FAILURES_OF_PEER = 100  # such as a proxy, with all its clients: it names them, and a client that is none could too
FAILURE_SECONDS = 60.0
PEERS_MAX = 1000


@dataclass(slots=True)
class Session:
    """One browser that is logged in."""

    user: User
    csrf: str
    ends_at: float
    used_at: float


class Sessions:
    """By the hash of the cookie's value: a copy of this memory is no key. Times are monotonic, in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # the one used longest ago first
        self._tickets: OrderedDict[str, tuple[User, float]] = OrderedDict()

    def begin(self, user: User) -> tuple[str, Session]:
        """The value of the cookie, and the session. The one used longest ago ends if there are too many.

        A user with too many ends own ones.
        """
        key, now = secrets.token_urlsafe(32), self._monotonic()
        session = Session(user, secrets.token_urlsafe(24), now + SESSION_SECONDS, now)
        own = [known for known, one in self._sessions.items() if one.user.is_same(user)]
        for known in own[: max(0, len(own) + 1 - SESSIONS_OF_ONE)]:
            del self._sessions[known]
        self._sessions[_hashed(key)] = session
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return key, session

    def get(self, key: str) -> Session | None:
        """The session of this cookie; None if there is none, or it is over."""
        hashed, now = _hashed(key), self._monotonic()
        session = self._sessions.get(hashed)
        if session is None:
            return None
        if now >= session.ends_at or now - session.used_at >= IDLE_SECONDS:
            del self._sessions[hashed]
            return None
        session.used_at = now
        self._sessions.move_to_end(hashed)
        return session

    def end(self, key: str) -> None:
        self._sessions.pop(_hashed(key), None)

    def new_ticket(self, user: User) -> str:
        """A token for one login within a minute, for an address that a browser opens."""
        ticket = TICKET_PREFIX + secrets.token_urlsafe(32)
        own = [known for known, (owner, _) in self._tickets.items() if owner.is_same(user)]
        for known in own[: max(0, len(own) + 1 - TICKETS_OF_ONE)]:
            del self._tickets[known]
        self._tickets[_hashed(ticket)] = user, self._monotonic() + TICKET_SECONDS
        while len(self._tickets) > TICKETS_MAX:
            self._tickets.popitem(last=False)
        return ticket

    def redeem(self, ticket: str) -> User | None:
        """Whose ticket it is. It can't be used again."""
        user, ends_at = self._tickets.pop(_hashed(ticket), (None, 0.0))
        return user if self._monotonic() < ends_at else None


class Throttle:
    """Counts logins by peer that failed or are under way: each costs the API server a request."""

    def __init__(self, monotonic: Callable[[], float], most: int = FAILURES_MAX) -> None:
        self._monotonic = monotonic
        self._most = most
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def wait_seconds(self, peer: str) -> float:
        """How long this peer must wait before it may try again; 0: it may now."""
        recent = self._recent(peer)
        return recent[0] + FAILURE_SECONDS - self._monotonic() if len(recent) >= self._most else 0.0

    def note_attempt(self, peer: str) -> None:
        """It counts as failed until `note_success`."""
        self._failures[peer] = [*self._recent(peer), self._monotonic()][-self._most :]
        self._failures.move_to_end(peer)
        while len(self._failures) > PEERS_MAX:
            self._failures.popitem(last=False)

    def note_success(self, peer: str) -> None:
        self._failures[peer] = self._recent(peer)[:-1]

    def _recent(self, peer: str) -> list[float]:
        since = self._monotonic() - FAILURE_SECONDS
        return [at for at in self._failures.get(peer, ()) if at > since]


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
