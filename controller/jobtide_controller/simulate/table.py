"""Outcomes as a text table."""

from __future__ import annotations

from collections.abc import Sequence

from jobtide.commands.table import aligned
from jobtide.printable import printable
from jobtide_controller.simulate.run import Outcome

COLUMNS = (
    "law", "late", "wait p50", "p99", "max", "workers max", "worker-hours", "of bound", "busy stopped", "changes",
)  # fmt: skip


TYPE_COLUMNS = ("law", "type", "promise", "late", "wait p50", "p99", "max")


def text(outcomes: Sequence[Outcome], bound_seconds: float) -> str:
    """One line per scaler, then the bound."""
    rows = [list(COLUMNS), *(_row(outcome) for outcome in outcomes)]
    rows.append(["lower bound for any scaler", "", "", "", "", "", hours(bound_seconds), "1.0", "", ""])
    return "\n".join(aligned(rows))


def types(outcomes: Sequence[Outcome]) -> str:
    """One line per scaler and type, where types have promises of their own; else empty."""
    rows = [
        [
            outcome.name,
            printable(one.type),
            f"{one.promise_seconds:g}s",
            percent(one.late_share),
            *(seconds_text(one.wait(share)) for share in (0.5, 0.99, 1.0)),
        ]
        for outcome in outcomes
        for one in outcome.types
    ]
    return "\n".join(aligned([list(TYPE_COLUMNS), *rows], "<<")) if rows else ""


def hours(seconds: float) -> str:
    """Returns seconds as hours with two decimals; without decimals from 100 hours on."""
    value = seconds / 3_600
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004 - two digits are noise beyond


def seconds_text(seconds: float) -> str:
    """Returns seconds with one decimal; without decimals from 100 seconds on."""
    return f"{seconds:.1f}s" if seconds < 100 else f"{seconds:,.0f}s"  # noqa: PLR2004 - as above


def percent(share: float) -> str:
    """`0%` only for exactly 0."""
    if share == 0:
        return "0%"
    return f"{100 * share:.1f}%" if share >= 0.001 else "<0.1%"  # noqa: PLR2004 - one digit


def multiple(value: float) -> str:
    """Returns a factor with one decimal; without decimals from 100 on."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004 - as above


def cell(outcome: Outcome) -> str:
    """The short form for the table of all traces: late share, p99, cost."""
    return f"{percent(outcome.late_share)} {outcome.wait(0.99):.0f}s {multiple(outcome.cost)}"


def _row(outcome: Outcome) -> list[str]:
    return [
        outcome.name,
        percent(outcome.late_share),
        seconds_text(outcome.wait(0.5)),
        seconds_text(outcome.wait(0.99)),
        seconds_text(outcome.wait(1.0)),
        str(outcome.workers_max),
        hours(outcome.worker_seconds),
        multiple(outcome.cost),
        str(outcome.busy_stopped),
        str(outcome.changes),
    ]
