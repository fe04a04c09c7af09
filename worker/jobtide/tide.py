"""The registry of an application's handlers and schedules."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from jobtide.cron.schedule import Schedule, schedule_of
from jobtide.errors import Fail
from jobtide.job import Json
from jobtide.payload import Malformed, Validator, validator_for

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Handler:
    """One job type's function and its settings."""

    type: str
    function: Callable[..., Any]
    is_async: bool
    wants_context: bool
    validate: Validator | None
    max_attempts: int | None  # None: the pool's
    timeout_seconds: float | None  # None: no timeout
    process: bool = False  # each job runs in a process of its own
    memory_bytes: int | None = None  # of that process; None: no limit
    recycle_after: int | None = None  # jobs, after which a new process starts; None: never

    @property
    def starts_process(self) -> bool:
        """True if the function itself starts a process for each job: a program."""
        return bool(getattr(self.function, "starts_process", False))

    def arguments(self, payload: Json, context: object) -> tuple[Any, ...]:
        """The arguments of the call. Raises Fail for a payload that does not fit: a retry would not help."""
        if isinstance(payload, Malformed):
            raise Fail(f"payload can't be read: {payload.why}")
        value = payload if self.validate is None else self.validate(payload)
        return (value, context) if self.wants_context else (value,)


class Tide:
    """A collection of job handlers: `tide = Tide()`, `@tide.job("video.ingest")`, `jobtide worker acme.jobs:tide`."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._schedules: list[Schedule] = []

    @property
    def handlers(self) -> dict[str, Handler]:
        """By job type, in the order of registration."""
        return dict(self._handlers)

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        return tuple(self._schedules)

    def job(
        self,
        type_: str,
        *,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
        process: bool = False,
        memory_bytes: int | None = None,
        recycle_after: int | None = None,
    ) -> Callable[[Function], Function]:
        """Registers a plain or async function, `(payload)` or `(payload, ctx)`, and returns it unchanged.

        The annotation of the payload decides what the function gets: for `dict`, `list`, `Any` or none the JSON value,
        for any other type the value validated by pydantic. Raises ValueError at registration, not at the first job.

        `process=True` runs each job in a process of its own, which is killed when the job is cancelled and does not
        stop; `memory_bytes` limits the memory of that process, and after `recycle_after` jobs a new one starts.
        """
        if not type_ or type_ != type_.strip():
            raise ValueError(f"job type {type_!r}: job_queue.type is matched exactly; give it without outer spaces")
        if type_ in self._handlers:
            raise ValueError(f"job type {type_!r} has a handler already: {self._handlers[type_].function!r}")
        if max_attempts is not None and max_attempts < 1:
            raise ValueError(f"job type {type_!r}: max_attempts={max_attempts}; the first try is attempt 1")
        if timeout_seconds is not None and timeout_seconds <= 0:
            raise ValueError(f"job type {type_!r}: timeout_seconds={timeout_seconds}; expected more than 0")

        for name, limit in (("memory_bytes", memory_bytes), ("recycle_after", recycle_after)):
            if limit is not None and (not process or limit < 1):
                raise ValueError(f"job type {type_!r}: {name}={limit}; expected at least 1, together with process=True")

        def register(function: Function) -> Function:
            self._handlers[type_] = Handler(
                type=type_,
                function=function,
                is_async=inspect.iscoroutinefunction(function),
                wants_context=_wants_context(type_, function),
                validate=validator_for(type_, function),
                max_attempts=max_attempts,
                timeout_seconds=timeout_seconds,
                process=process,
                memory_bytes=memory_bytes,
                recycle_after=recycle_after,
            )
            return function

        return register

    def cron(
        self,
        expression: str,
        type_: str,
        *,
        tenant_id: uuid.UUID | str,
        timezone: str = "UTC",
        payload: Any = None,
        name: str = "",
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Callable[[Function], Function]:
        """As `job`, and enqueues one job of the type for the tenant at each slot of the cron expression.

        Schedules can be stacked on one function; those of the same type and tenant need a `name` each.
        Raises ValueError at registration, not at the first slot.
        """
        schedule = schedule_of(expression, type_, tenant_id=tenant_id, timezone=timezone, payload=payload, name=name)
        if schedule.key in {other.key for other in self._schedules}:
            raise ValueError(
                f"job type {type_!r} has a schedule for tenant {tenant_id} already: give each a name, name='weekend'"
            )

        def register(function: Function) -> Function:
            handler = self._handlers.get(type_)
            if handler is None or handler.function is not function or (max_attempts, timeout_seconds) != (None, None):
                self.job(type_, max_attempts=max_attempts, timeout_seconds=timeout_seconds)(function)
            self._schedules.append(schedule)
            return function

        return register

    def __contains__(self, type_: str) -> bool:
        return type_ in self._handlers


def _wants_context(type_: str, function: Callable[..., Any]) -> bool:
    """Two positional parameters ask for (payload, ctx), one for (payload)."""
    signature = inspect.signature(function)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = sum(parameter.kind in kinds for parameter in signature.parameters.values())
    try:
        signature.bind(*range(min(positional, 2) or 1))
    except TypeError as misfit:
        raise ValueError(
            f"job type {type_!r}: a handler takes (payload) or (payload, ctx), but "
            f"{getattr(function, '__qualname__', function)} takes {signature}: {misfit}"
        ) from None
    return positional > 1
