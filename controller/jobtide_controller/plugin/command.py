"""`kubectl jobtide why POOL` and `kubectl jobtide top [POOL]`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from jobtide import __version__
from jobtide_controller.plugin import top, why
from jobtide_controller.plugin.cluster import Access, Cluster, PluginError, connected

WATCH_SECONDS = 2.0
INTERRUPTED = 130

_CLEAR = "\x1b[H\x1b[2J"


def main(arguments: Sequence[str] | None = None) -> int:
    flags = _parser().parse_args(arguments)
    access = Access(flags.kubeconfig, flags.context, flags.namespace)
    try:
        asyncio.run(_run(flags, access))
    except PluginError as error:
        print(f"kubectl jobtide: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
    return 0


async def _run(flags: argparse.Namespace, access: Access) -> None:
    async with connected(access) as cluster:
        while True:
            words = await _once(flags, cluster)
            clear = _CLEAR if flags.watch is not None and sys.stdout.isatty() else ""
            print(f"{clear}{words}", flush=True)  # noqa: T201 - it is a command
            if flags.watch is None:
                return
            await asyncio.sleep(flags.watch)


async def _once(flags: argparse.Namespace, cluster: Cluster) -> str:
    if flags.command == "why":
        return why.render(await cluster.pool(flags.pool), time.time())
    if flags.pool is not None:
        return top.render([await cluster.pool(flags.pool)], time.time(), namespaces=False)
    pools = await cluster.pools(everywhere=flags.all_namespaces)
    return top.render(pools, time.time(), namespaces=flags.all_namespaces)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-n", "--namespace", help="the pool's namespace (default: the context's)")
    common.add_argument("--context", help="context of the kubeconfig (default: the current one)")
    common.add_argument("--kubeconfig", metavar="FILE", help="(default: KUBECONFIG, or ~/.kube/config)")
    common.add_argument(
        "-w",
        "--watch",
        nargs="?",
        type=_seconds,
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"show it again every so many seconds (default: {WATCH_SECONDS:g})",
    )
    made = argparse.ArgumentParser(prog="kubectl jobtide", description="What Jobtide's pools do, and why.")
    made.add_argument("--version", action="version", version=__version__)
    commands = made.add_subparsers(dest="command", required=True)
    reason = commands.add_parser("why", parents=[common], help="why a pool has as many workers as it has")
    reason.add_argument("pool")
    depth = commands.add_parser("top", parents=[common], help="waiting and running jobs per type and tenant")
    depth.add_argument("pool", nargs="?", help="(default: all pools of the namespace)")
    depth.add_argument("-A", "--all-namespaces", action="store_true", help="all pools of the cluster")
    return made


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value
