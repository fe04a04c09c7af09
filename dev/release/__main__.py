"""`python -m dev.release`: makes a release of a checkout, or the release before it; prints the folder."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from dev.machine.checkout import VERSION_FILE
from dev.machine.environment import ROOT
from dev.machine.errors import DevError, exit_code
from dev.release.chart import CHART
from dev.release.check import check_release
from dev.release.installed import ensure_before
from dev.release.make import checked, make_release
from dev.release.sign import can_sign, sign
from dev.release.tree import Tree, copied


def main() -> int:
    """Runs the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev.release", description=__doc__)
    parser.add_argument("--source", type=Path, default=ROOT, metavar="DIR", help="the checkout (default: this one)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--version", metavar="X.Y.Z", help="make this version in build/release/X.Y.Z")
    what.add_argument("--before", action="store_true", help="install what an upgrade starts from, once, in the cache")
    what.add_argument("--check", action="store_true", help="find what would stop a release; build nothing")
    arguments = parser.parse_args()

    def run() -> bool:
        if arguments.check:
            check_release(Tree(arguments.source, commit="", epoch=0))
        elif arguments.before:
            print(ensure_before(arguments.source).folder)
        else:
            print(_made(arguments.source, arguments.version))
        return True

    return exit_code(run, interrupted="run the same command again")


def _made(source: Path, version: str) -> Path:
    out = ROOT / "build" / "release" / version
    can_sign(os.environ)
    with copied(source) as tree:
        if tree.version != version:
            ask = (
                f"make release VERSION={tree.version}, or set another version in {VERSION_FILE} and {CHART}/Chart.yaml"
            )
            raise DevError(f"VERSION={version!r} is not the version of {source}: {ask}")
        if checked(tree).date is None:
            raise DevError(f"`## [{version}]` in CHANGELOG.md has no date: write `## [{version}] - YYYY-MM-DD`")
        check_release(tree)
        shutil.rmtree(out, ignore_errors=True)
        make_release(tree, out)
    sign(out, os.environ)
    return out


if __name__ == "__main__":
    sys.exit(main())
