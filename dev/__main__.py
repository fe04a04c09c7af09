"""`python3 -m dev`: the virtual environment, the cluster, its programs and images, with the system's Python alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from dev.cluster.choose import choose_cluster
from dev.cluster.kind import KindCluster
from dev.cluster.local import LocalCluster
from dev.machine.environment import PARTS, Environment
from dev.machine.errors import exit_code
from dev.stage.images import ensure_controller_image, ensure_worker_image
from dev.tools.toolchain import TOOLS, ensure_tools


def main() -> int:
    """Runs the command; returns the exit code: 0, 1 after an error that the message explains, 130 after Ctrl-C."""
    arguments = _parser().parse_args()

    def run() -> bool:
        arguments.run(arguments)
        return True

    return exit_code(run, interrupted="run the same command again, it continues from here")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m dev", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], None], purpose: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=purpose, description=purpose)
        command.set_defaults(run=run)
        return command

    environment = add("environment", _environment, "make .venv from the pinned requirements if they changed")
    environment.add_argument("--part", choices=PARTS, default="dev", help="demo: only what `make demo` needs")
    add("cluster-up", _cluster_up, "start a cluster, or use the one that runs; print its kubeconfig")
    add("cluster-down", _cluster_down, "remove the cluster that cluster-up made, and all its files")
    add("images", _images, "build both images and load them into the cluster; print their references")
    tools = add("tools", _tools, "build these programs if they are missing; print their paths")
    tools.add_argument("names", nargs="+", choices=sorted(TOOLS), metavar="NAME")
    return parser


def _environment(arguments: argparse.Namespace) -> None:
    Environment(part=arguments.part).ensure()


def _cluster_up(_: argparse.Namespace) -> None:
    print(choose_cluster().ensure())


def _cluster_down(_: argparse.Namespace) -> None:
    """Removes the clusters that `cluster-up` made, regardless of CONTEXT and KUBECONFIG."""
    kind, local = KindCluster(), LocalCluster()
    if kind.kubeconfig.exists():
        kind.down()
    if local.exists():
        local.down()


def _images(_: argparse.Namespace) -> None:
    cluster = choose_cluster()
    cluster.ensure()
    for reference in (ensure_controller_image(cluster), ensure_worker_image(cluster)):
        print(reference)


def _tools(arguments: argparse.Namespace) -> None:
    for path in ensure_tools(*arguments.names).values():
        print(path)


if __name__ == "__main__":
    sys.exit(main())
