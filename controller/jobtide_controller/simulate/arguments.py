"""The command line of `python -m jobtide_controller simulate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

from jobtide.printable import printable
from jobtide_controller.simulate.csvfile import TRACE_DAYS_MAX
from jobtide_controller.simulate.traces import MEANING

_EPILOG = "\n".join(["Built-in traces:", *(f"  {name:12} {meaning}" for name, meaning in MEANING.items())])

Number = TypeVar("Number", int, float)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"simulate: {printable(message)} (--help lists all flags)\n")


def parser() -> argparse.ArgumentParser:
    """Returns the parser; it prints the error and exits with 2 for flags that can't be used."""
    made = _Parser(
        prog="python -m jobtide_controller simulate",
        description="Simulates the controller over a trace of arrivals, next to KEDA's algorithm and a lower bound.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _trace_flags(made)
    _policy_flags(made.add_argument_group("the pool (flags override the file)"))
    _rival_flags(made.add_argument_group("KEDA (one line with its defaults, one with these flags or a quick setting)"))
    _run_flags(made.add_argument_group("the simulation"))
    return made


def _trace_flags(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("the trace")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--trace", metavar="NAME", choices=tuple(MEANING), help="a built-in trace, see below")
    source.add_argument("--all", action="store_true", help="every built-in trace, as one table")
    source.add_argument("--unseen", action="store_true", help="further traces, each with its own pool, as one table")
    source.add_argument(
        "--csv", type=Path, metavar="FILE", help="columns arrived_at, service_seconds; optional type, tenant, due_at"
    )
    source.add_argument(
        "--from-table",
        metavar="URL",
        help="the job_queue of this database, only read; @FILE: read the URL from this file",
    )
    group.add_argument(
        "--days",
        type=partial(_number, most=TRACE_DAYS_MAX),
        default=7.0,
        help="for --from-table: days to look back (default: 7)",
    )
    group.add_argument(
        "--service-seconds",
        type=_of_type,
        action="append",
        default=[],
        metavar="TYPE=SECONDS",
        help="for --from-table: duration of a job of this type, instead of an estimate; may be repeated",
    )
    group.add_argument(
        "--measured-concurrency",
        type=_whole,
        metavar="N",
        help="for --from-table: concurrency of the workers that ran these jobs (default: the pool's concurrency)",
    )


def _policy_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--pool", type=Path, metavar="FILE", help="YAML file with a JobWorkerPool")
    group.add_argument("--pool-name", metavar="NAME", help="name of the pool, if the file has several")
    group.add_argument("--max-wait-seconds", type=_whole, help="the promise")
    group.add_argument(
        "--promises", type=_wholes, default=(), metavar="10,30,120", help="further promises to compare, one line each"
    )
    group.add_argument(
        "--type-promise",
        type=_promise_of_type,
        action="append",
        default=[],
        metavar="TYPE=SECONDS",
        help="the promise of one type, instead of --max-wait-seconds; may be repeated",
    )
    group.add_argument("--jobs-per-worker", type=_whole, help="instead of a promise")
    group.add_argument("--min-replicas", type=partial(_whole, least=0))
    group.add_argument("--max-replicas", type=_whole)
    group.add_argument("--concurrency", type=_whole)
    group.add_argument("--stabilization-seconds", type=partial(_whole, least=0))
    group.add_argument("--tenant-max-concurrent", type=_whole)


def _rival_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--keda-target", type=_number, metavar="ROWS", help="rows per worker (default: the pool's concurrency)"
    )
    group.add_argument("--keda-polling-seconds", type=_number, help="pollingInterval")
    group.add_argument("--keda-cooldown-seconds", type=_number, help="cooldownPeriod")
    group.add_argument(
        "--keda-stabilization-seconds", type=partial(_number, least=0), help="stabilizationWindowSeconds of scaleDown"
    )


def _run_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--seed", type=partial(_whole, least=0, most=10**12), default=1, help="of the random numbers (default: 1)"
    )
    group.add_argument(
        "--tick-seconds",
        type=partial(_number, least=0.1, most=3_600),
        default=1.0,
        help="time between two decisions (default: 1)",
    )
    group.add_argument(
        "--start-seconds",
        type=partial(_number, most=3_600),
        default=5.0,
        help="median start time of a worker (default: 5)",
    )
    group.add_argument("--plot", type=_svg, metavar="FILE.svg", help="draw arrivals, waits and workers over time")
    group.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _svg(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".svg":
        raise argparse.ArgumentTypeError(f'"{text}": the plot is an SVG: use a name that ends with .svg')
    return path


def _number(text: str, *, least: float = 0.001, most: float = 1_000_000) -> float:
    value = _parsed(float, text)
    if value is None or not least <= value <= most:
        raise argparse.ArgumentTypeError(f'"{text}": use a number from {least} to {most:,}')
    return value


def _of_type(text: str) -> tuple[str, float]:
    type_, equals, seconds = text.rpartition("=")
    if not equals or not type_:
        raise argparse.ArgumentTypeError(f'"{text}": use TYPE=SECONDS, such as video.ingest=12.5')
    return type_, _number(seconds, least=0)


def _promise_of_type(text: str) -> tuple[str, int]:
    type_, equals, seconds = text.rpartition("=")
    if not equals or not type_:
        raise argparse.ArgumentTypeError(f'"{text}": use TYPE=SECONDS, such as thumbs=30')
    return type_, _whole(seconds)


def _wholes(text: str) -> tuple[int, ...]:
    return tuple(_whole(part) for part in text.split(","))


def _whole(text: str, *, least: int = 1, most: int = 1_000_000) -> int:
    value = _parsed(int, text)
    if value is None or not least <= value <= most:
        raise argparse.ArgumentTypeError(f'"{text}": use a whole number from {least} to {most:,}')
    return value


def _parsed(kind: Callable[[str], Number], text: str) -> Number | None:
    try:
        return kind(text)
    except ValueError:
        return None
