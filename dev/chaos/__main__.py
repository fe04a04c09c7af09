"""`python -m dev.chaos`: exit code 0 only if nothing was violated."""

from __future__ import annotations

import signal
import sys

from dev.chaos.run import run_chaos
from dev.chaos.settings import read_settings
from dev.machine.errors import DevError


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends us, what is broken must be mended
    try:
        settings = read_settings()
        print(f"chaos: SECONDS={settings.seconds} SEED={settings.seed}", flush=True)
        return 0 if run_chaos(settings) else 1
    except DevError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was broken has been mended", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
