"""`why`: why a pool has as many workers as it has, from its status alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from jobtide.commands.table import aligned
from jobtide.printable import printable
from jobtide_controller.api.status import (
    ClampStatus,
    Condition,
    DecisionStatus,
    JobWorkerPoolStatus,
    TypeStatus,
)
from jobtide_controller.api.v1alpha1 import JobWorkerPool
from jobtide_controller.decide.reading import UnreadableReason
from jobtide_controller.plugin import law, windows
from jobtide_controller.plugin.text import ago, is_known, oldest
from jobtide_controller.render import display, sentence
from jobtide_controller.render.display import clock
from jobtide_controller.render.tenant_limits import limit_words

LABEL_WIDTH = 10
DECISIONS_SHOWN = 5
TENANTS_SHOWN = 5

# The status of a condition that is shown as trouble.
_TROUBLE = {
    "Ready": "False",
    "DatabaseReachable": "False",
    "SchemaReady": "False",
    "ScalingActive": "False",
    "KeepingUp": "False",
    "TableHealthy": "False",
    "Stalled": "True",
}


def render(pool: JobWorkerPool, now: float) -> str:
    """Returns the whole text, one section for each question. `now` is in seconds since 1970."""
    status = pool.status
    title = f"{pool.metadata.namespace}/{pool.metadata.name}"
    if status is None or not status.conditions:
        return "\n".join([*_section("pool", [title]), *_section("status", [_UNREPORTED])])
    sections: list[tuple[str, Sequence[str]]] = [
        ("pool", [f"{title}  {status.reason}", *_outdated(pool, status)]),
        ("reading", list(_reading(status, now))),
        ("types", list(_types(status))),
        ("law", list(_law(status))),
        ("limits", _limits(status)),
        ("windows", list(windows.lines(pool.spec.schedules, status.schedule))),
        ("desired", [_desired(status), *_waiting(status.conditions)]),
        ("trouble", list(_trouble(status.conditions))),
        ("decisions", list(_decisions(status.decisions[:DECISIONS_SHOWN], now))),
        ("tenants", list(_tenants(status))),
    ]
    return "\n".join(line for label, lines in sections for line in _section(label, lines))


_UNREPORTED = (
    "no controller has reported on this pool yet: check that one runs and watches this namespace: "
    "kubectl get pods -A -l app.kubernetes.io/name=jobtide"
)


def _section(label: str, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{label if number == 0 else '':{LABEL_WIDTH}}{printable(line)}".rstrip()


def _outdated(pool: JobWorkerPool, status: JobWorkerPoolStatus) -> list[str]:
    seen, newest = status.observed_generation, pool.metadata.generation
    if seen >= newest:
        return []
    return [f"the pool was edited since (generation {newest}): what follows is for generation {seen}"]


def _reading(status: JobWorkerPoolStatus, now: float) -> Iterator[str]:
    read = status.last_read_time
    if status.reason == UnreadableReason.NOT_ALLOWED:
        yield "none: the pool may not use its database"
        return
    if not is_known(status):
        yield "not known, which does not count as zero: the workers stay as they are"
        yield "no reading yet" if read is None else f"last reading: {clock(read)}, {ago(read, now)}"
        return
    shown = status.display
    scheduled = f" ({display.count(status.scheduled)} scheduled)" if status.scheduled else ""
    yield (
        f"{shown.pending} pending{scheduled}, {shown.processing} running on {_many(shown.busy, 'busy worker')}, "
        f"{_many(shown.tenants, 'tenant')}, oldest {shown.oldest}"
    )
    if read is not None:
        yield f"of {clock(read)}, {ago(read, now)}; written again when something changes"


def _types(status: JobWorkerPoolStatus) -> Iterator[str]:
    known = is_known(status)
    # A type's age counts jobs for which an earlier, longer promise held: they are not late.
    keeps = any(condition.type == "KeepingUp" and condition.status == "True" for condition in status.conditions)
    shows_promises = any(entry.promise_seconds is not None for entry in status.types)
    rows = [
        (
            entry.type,
            *(_promise(entry, known=known, keeps=keeps) if shows_promises else ()),
            f"{display.count(entry.pending) if known else display.UNKNOWN} pending",
            f"{display.count(entry.processing) if known else display.UNKNOWN} running",
            f"{entry.service_seconds:.3g} s a job",
            "as learned" if entry.learned is not None and entry.learned.jobs else "not learned yet",
        )
        for entry in status.types
    ]
    yield from aligned(rows) if rows else ()


def _promise(entry: TypeStatus, *, known: bool, keeps: bool) -> tuple[str, ...]:
    """Of one type where types have promises of their own."""
    if entry.promise_seconds is None:
        return "", "", ""
    late = " LATE" if known and not keeps and entry.oldest_seconds > entry.promise_seconds else ""
    age = oldest(entry.oldest_seconds, entry.pending) if known else display.UNKNOWN
    needed = _many(str(entry.promise_workers or 0), "worker")
    return f"promise {entry.promise_seconds} s", f"oldest {age}{late}", f"needs {needed if known else display.UNKNOWN}"


def _explained(status: JobWorkerPoolStatus) -> tuple[Mapping[str, float], Sequence[ClampStatus]]:
    """The latest decision; from an older controller, which does not store it, the last change."""
    if status.numbers or status.limits or not status.decisions:
        return status.numbers, status.limits
    return status.decisions[0].numbers, status.decisions[0].limited_by


def _law(status: JobWorkerPoolStatus) -> Iterator[str]:
    stored, _ = _explained(status)
    if status.reason == UnreadableReason.NOT_ALLOWED:
        yield "not computed: the pool may not use its database"
        return
    if not stored:
        yield "not computed while the database can't be read"
        return
    numbers = sentence.from_numbers(stored)
    promise = f"{numbers.per_worker} jobs a worker" if numbers.per_worker else f"promise {numbers.promise_seconds:g} s"
    workers = f"{promise}, {numbers.concurrency} jobs at once in a worker"
    yield f"{workers}, which takes {numbers.start_seconds:.3g} s to start; the greatest of"
    rows = [(f"  {name}", expression, f"= {value}", words) for name, expression, value, words in law.terms(numbers)]
    yield from aligned(rows, "<<<<")
    yield f"  = {numbers.recomputed()}"


def _limits(status: JobWorkerPoolStatus) -> list[str]:
    found = law.limits(_explained(status)[1])
    return aligned(found, "<<<") if found else ["none"]


def _desired(status: JobWorkerPoolStatus) -> str:
    busy = f"{status.busy_replicas} busy" if is_known(status) else "busy not known"
    workers = _many(str(status.desired_replicas), "worker")
    return f"{workers}; {status.replicas} exist, {status.ready_replicas} ready, {busy}"


def _waiting(conditions: Sequence[Condition]) -> Iterator[str]:
    """What a worker waits for that is not ready, unless that is shown as trouble."""
    stalled = {condition.message for condition in conditions if condition.type == "Stalled"}
    for condition in conditions:
        if condition.type == "Progressing" and condition.status == "True":
            _, _, cause = condition.message.partition("; ")
            if cause and cause not in stalled:
                yield cause


def _trouble(conditions: Sequence[Condition]) -> Iterator[str]:
    """Each cause once: the cause that makes Ready False is also a condition of its own."""
    shown: set[tuple[str, str]] = set()
    for condition in conditions:
        cause = condition.reason, condition.message
        if _TROUBLE.get(condition.type) == condition.status and cause not in shown:
            shown.add(cause)
            yield f"{condition.type}={condition.status} {condition.reason}: {condition.message}".rstrip(": ")


def _decisions(decisions: Sequence[DecisionStatus], now: float) -> Iterator[str]:
    rows = [
        (
            clock(decision.time),
            ago(decision.time, now),
            f"{decision.replicas_before} -> {decision.replicas}",
            decision.reason,
            decision.message,
        )
        for decision in decisions
    ]
    yield from aligned(rows, "<<<<<") if rows else ("none yet",)


def _tenants(status: JobWorkerPoolStatus) -> Iterator[str]:
    """Nothing where the chart does not show tenants: their number is in the reading."""
    if not is_known(status) or not status.tenants:
        return
    shown = status.tenants[:TENANTS_SHOWN]
    rows = [
        (
            entry.tenant,
            f"{display.count(entry.pending)} pending",
            f"{display.count(entry.processing)} running",
            f"oldest {oldest(entry.oldest_seconds, entry.pending)}",
            limit_words(entry),
        )
        for entry in shown
    ]
    yield from aligned(rows, "<>>><") if rows else ()
    more = (status.tenants_total or 0) - len(shown)
    if more > 0:
        yield f"and {more} more"


def _many(number: str, what: str) -> str:
    return f"{number} {what}" if number == "1" else f"{number} {what}s"
