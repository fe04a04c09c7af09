"""The limits of one tenant in words: the same in `why`, in `top` and on the page."""

from __future__ import annotations

from collections.abc import Iterator

from jobtide_controller.api.status import TenantStatus, TypeLimitStatus
from jobtide_controller.render.display import clock


def limit_words(entry: TenantStatus, *, names_cap: bool = True) -> str:
    """`at its cap of 4, weight 3 until 2026-11-30 08:00:00Z; video: paused`; empty without limits.

    Without `names_cap` a cap over all types is left out: its number is shown beside the words.
    """
    is_at_cap = entry.max_concurrent is not None and entry.processing >= entry.max_concurrent
    if is_at_cap:
        cap = f"at its cap of {entry.max_concurrent}" if names_cap else "at its cap"
    else:
        cap = f"cap {entry.max_concurrent}" if names_cap else ""
    own = _words(entry, cap)
    of_types = (f"{one.type}: {_words(one, f'cap {one.max_concurrent}')}" for one in entry.type_limits)
    return "; ".join(filter(None, [own, *of_types]))


def _words(limit: TenantStatus | TypeLimitStatus, cap: str) -> str:
    until = "" if limit.limit_until is None else f" until {clock(limit.limit_until)}"
    return f"{', '.join(filter(None, _parts(limit, cap)))}{until}".strip()


def _parts(limit: TenantStatus | TypeLimitStatus, cap: str) -> Iterator[str]:
    if limit.max_concurrent is not None:
        yield cap if limit.max_concurrent else "paused"
    if limit.weight is not None:
        yield f"weight {limit.weight}"
