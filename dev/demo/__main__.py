"""`python -m dev.demo`: exit code 0 only if everything held that the demo claims."""

from __future__ import annotations

import sys

from dev.demo.run import run_demo
from dev.demo.settings import read_settings
from dev.machine.errors import DevError


def main() -> int:
    try:
        return 0 if run_demo(read_settings()) else 1
    except DevError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; running it again takes up from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
