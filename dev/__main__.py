"""`python3 -m dev`: the cluster and its tools, on the system's own Python."""

from __future__ import annotations

import argparse
import sys

from dev.cluster.local import LocalCluster
from dev.errors import DevError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m dev", description=__doc__)
    parser.add_argument("command", choices=["cluster-up", "cluster-down"])
    command = parser.parse_args().command
    try:
        if command == "cluster-up":
            print(LocalCluster().ensure())
        else:
            LocalCluster().down()
    except DevError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
