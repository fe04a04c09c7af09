"""`python -m dev.site`: builds the documentation into build/site."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dev.machine.environment import ROOT
from dev.machine.errors import exit_code
from dev.machine.progress import step
from dev.site.versions import build_site


def main() -> int:
    """Runs the command; returns the exit code: 1 if the documentation has a problem, which is printed."""
    parser = argparse.ArgumentParser(prog="python -m dev.site", description=__doc__)
    parser.add_argument("releases", nargs="*", metavar="TAG", help="tags of releases to build beside the checkout")
    parser.add_argument("--url", default="/", help="path or URL that the site will be served at; default: /")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout; default: this one")
    parser.add_argument("--output", type=Path, help="default: build/site of the checkout")
    arguments = parser.parse_args()
    root, output = arguments.root.resolve(), arguments.output or arguments.root / "build/site"

    def run() -> bool:
        with step("Building the documentation", usual="5 to 20 s a version"):
            build_site(root, output, releases=arguments.releases, base=arguments.url)
        print(output / "index.html")
        return True

    return exit_code(run, interrupted="run the same command again")


if __name__ == "__main__":
    sys.exit(main())
