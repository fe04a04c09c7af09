"""`python -m dev.generate` writes every generated file; `--check` prints differences and fails if there are any."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from dev.generate import GENERATORS

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Runs the command; returns the exit code: 1 if `--check` found a file out of date, else 0."""
    parser = argparse.ArgumentParser(prog="python -m dev.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; print differences and exit with 1")
    check = parser.parse_args().check
    stale = [path for path, render in GENERATORS.items() if not _is_current(path, render(), check=check)]
    if check and stale:
        print(f"out of date: {', '.join(stale)}. Run `make generate` and commit the result.", file=sys.stderr)
        return 1
    return 0


def _is_current(path: str, text: str, *, check: bool) -> bool:
    """False if the file was out of date; it is then written, or with `check` its difference printed."""
    file = ROOT / path
    before = file.read_text() if file.exists() else ""
    if before == text:
        return True
    if check:
        sys.stdout.writelines(
            difflib.unified_diff(before.splitlines(keepends=True), text.splitlines(keepends=True), path, "generated")
        )
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        print(f"wrote {path}")
    return False


if __name__ == "__main__":
    sys.exit(main())
