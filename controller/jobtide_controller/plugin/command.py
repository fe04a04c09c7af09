"""`kubectl jobtide why POOL`, `why --job ID`, `top [POOL]` and `page`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from uuid import UUID

from jobtide import __version__
from jobtide.printable import printable_lines
from jobtide_controller.plugin import page, top, why
from jobtide_controller.plugin.cluster import Kubectl, PluginError

WATCH_SECONDS = 2.0
INTERRUPTED = 130

_CLEAR = "\x1b[H\x1b[2J"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 if the pools can't be read, 130 after Ctrl-C."""
    parser = _parser()
    flags = parser.parse_args(arguments)
    if flags.command == "why" and (flags.pool is None) == (flags.id is None):
        parser.error("why needs a pool, or --job with a job's ID")
    if flags.command == "why" and flags.id is not None and flags.watch is not None:
        parser.error("--watch is for pools")
    try:
        _run(flags, Kubectl(_kubectl_flags(flags)))
    except PluginError as error:
        print(f"kubectl jobtide: {printable_lines(str(error))}", file=sys.stderr)  # noqa: T201 - it is a command
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough
        sys.stderr.close()
    return 0


def _kubectl_flags(flags: argparse.Namespace) -> tuple[str, ...]:
    named = {"--kubeconfig": flags.kubeconfig, "--context": flags.context, "--namespace": flags.namespace}
    return tuple(f"{name}={value}" for name, value in named.items() if value is not None)


def _run(flags: argparse.Namespace, kubectl: Kubectl) -> None:
    if flags.command == "page":
        page.run(kubectl, page.Flags(flags.service_account, flags.port, flags.browser, flags.namespace))
        return
    if flags.command == "why" and flags.id is not None:
        _run_job(kubectl, flags)
        return
    while True:
        text = _once(flags, kubectl)
        clear = _CLEAR if flags.watch is not None and sys.stdout.isatty() else ""
        print(f"{clear}{text}", flush=True)  # noqa: T201 - it is a command
        if flags.watch is None:
            return
        time.sleep(flags.watch)


def _run_job(kubectl: Kubectl, flags: argparse.Namespace) -> None:
    """Raises PluginError where psycopg finds no libpq: the plugin's archive for krew has none."""
    try:
        from jobtide_controller.plugin import job  # it needs psycopg, and pools don't
    except ImportError as error:
        raise PluginError(
            "why --job reads the database, and libpq is missing: install it (libpq5 on Debian, libpq with Homebrew), "
            f"or the plugin with pip. {error}"
        ) from None
    job.run(kubectl, flags)


def _once(flags: argparse.Namespace, kubectl: Kubectl) -> str:
    if flags.command == "why":
        return why.render(kubectl.pool(flags.pool), time.time())
    if flags.pool is not None:
        return top.render([kubectl.pool(flags.pool)], time.time(), namespaces=False)
    pools = kubectl.pools(all_namespaces=flags.all_namespaces)
    if not pools:
        return top.no_pools(None if flags.all_namespaces else flags.namespace or kubectl.namespace())
    return top.render(pools, time.time(), namespaces=flags.all_namespaces)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-n", "--namespace", help="the pool's namespace, or the controller's (default: the context's)")
    common.add_argument("--context", help="context of the kubeconfig (default: the current one)")
    common.add_argument("--kubeconfig", metavar="FILE", help="(default: KUBECONFIG, or ~/.kube/config)")
    watched = argparse.ArgumentParser(add_help=False, parents=[common])
    watched.add_argument(
        "-w",
        "--watch",
        nargs="?",
        type=_seconds,
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"repeat every SECONDS (default: {WATCH_SECONDS:g})",
    )
    parser = argparse.ArgumentParser(prog="kubectl jobtide", description="Shows what Jobtide's pools do, and why.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    reason = commands.add_parser(
        "why", parents=[watched], help="why a pool has as many workers as it has, or why a job waits"
    )
    reason.add_argument("pool", nargs="?")
    _add_job(reason)
    depth = commands.add_parser("top", parents=[watched], help="waiting and running jobs per type and tenant")
    depth.add_argument("pool", nargs="?", help="(default: all pools of the namespace)")
    depth.add_argument("-A", "--all-namespaces", action="store_true", help="all pools of the cluster")
    opened = commands.add_parser("page", parents=[common], help="pools, tenants and jobs in the browser")
    opened.add_argument(
        "--service-account",
        metavar="NAMESPACE/NAME",
        help="log in as this ServiceAccount, with a token of ten minutes (default: with the context's own token)",
    )
    opened.add_argument("--port", type=int, default=0, help="port of this machine (default: any free one)")
    opened.add_argument("--no-browser", dest="browser", action="store_false", help="print the address only")
    return parser


def _add_job(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("one job", "reads the pools of all namespaces, and the job from the database")
    group.add_argument("--job", dest="id", type=UUID, metavar="ID", help="the job's UUID, in place of a pool")
    group.add_argument(
        "--database-url",
        metavar="URL",
        help="default: JOBTIDE_DATABASE_URL, or the file that JOBTIDE_DATABASE_URL_FILE names",
    )
    group.add_argument("--database", metavar="NAME", help="its name in the pools (default: the only one there)")
    group.add_argument("--json", action="store_true", help="as one JSON object")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value
