#!/usr/bin/env python3
"""kubectl jobtide, with all that it imports in the folder lib beside this file."""

import sys
from pathlib import Path

LIB = Path(__file__).resolve().parent / "lib"
OWN = LIB / "python{}.{}".format(*sys.version_info[:2])

if not OWN.is_dir():
    found = ", ".join(sorted(folder.name for folder in LIB.glob("python3.*")))
    sys.exit(f"kubectl jobtide: python3 is {OWN.name}, and this release runs with one of: {found}")
sys.path[:0] = [str(LIB), str(OWN)]

from jobtide_controller.plugin.command import main  # noqa: E402 - only now it is found

sys.exit(main())
