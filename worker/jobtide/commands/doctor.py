"""`jobtide doctor`: one line for each check of database and cluster, with what to do where it is not fine."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from jobtide._version import __version__
from jobtide.commands.jobs_read import write, write_json
from jobtide.doctor.findings import Finding
from jobtide.errors import SettingsError
from jobtide.printable import printable
from jobtide.schema.cli import add_url, url_of

_WIDTH = 8


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `doctor`, which sets `run`."""
    parser = subparsers.add_parser(
        "doctor",
        help="try everything in database and cluster, and say what is wrong and what to do",
        description="Tries everything that a worker (or the controller) needs in database and cluster, and prints a "
        "line each. It changes nothing: what it writes is rolled back. The exit code is 1 if a line is an error.",
    )
    add_url(parser)
    parser.add_argument("--part", choices=("worker", "controller"), default="worker", help="who the role is for")
    parser.add_argument("--no-database", action="store_true", help="look at the cluster only")
    parser.add_argument("--no-cluster", action="store_true", help="look at the database only")
    parser.add_argument("-n", "--namespace", help="the pools' namespace (default: the context's)")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="pools of all namespaces")
    parser.add_argument("--context", help="context of the kubeconfig (default: the current one)")
    parser.add_argument("--kubeconfig", metavar="FILE", help="(default: KUBECONFIG, or ~/.kube/config)")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(run=_run, parser=parser)


def _run(parsed: argparse.Namespace) -> int:
    if parsed.no_database and parsed.no_cluster:
        parsed.parser.error("--no-database and --no-cluster leave nothing to look at")
    kept: list[tuple[str, Finding]] = []
    for place, finding in _findings(parsed):
        kept.append((place, finding))
        if not parsed.json:
            write(f"{finding.level:{_WIDTH}} {finding.check:12} {printable(finding.text)}")
    levels = Counter(finding.level for _, finding in kept)
    is_well = not levels["error"]
    if parsed.json:
        checks = [{"place": place, **asdict(finding)} for place, finding in kept]
        found = {"version": __version__, "part": parsed.part, "ok": is_well, "checks": checks}
        write_json(found)
    else:
        counts = [_many(levels[level], level) for level in ("error", "warning") if levels[level]]
        write(", ".join(counts) or "all is well")
    return 0 if is_well else 1


def _findings(parsed: argparse.Namespace) -> Iterator[tuple[str, Finding]]:
    if not parsed.no_database:
        yield from (("database", one) for one in _database(parsed))
    if not parsed.no_cluster:
        from jobtide.doctor.cluster import Cluster

        flags = {"--kubeconfig": parsed.kubeconfig, "--context": parsed.context, "--namespace": parsed.namespace}
        given = [f"{name}={value}" for name, value in flags.items() if value is not None]
        cluster = Cluster(given, all_namespaces=parsed.all_namespaces)
        yield from (("cluster", one) for one in cluster.findings())


def _database(parsed: argparse.Namespace) -> Iterator[Finding]:
    from jobtide.doctor.database import Examination

    try:
        url = url_of(parsed)
    except SettingsError as error:
        yield Finding("url", "error", str(error))
        return
    yield from Examination(url, parsed.part).findings()


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
