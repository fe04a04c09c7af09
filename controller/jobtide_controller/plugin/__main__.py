"""`python -m jobtide_controller.plugin`: the same as `kubectl jobtide`."""

from __future__ import annotations

import sys

from jobtide_controller.plugin.command import main

sys.exit(main())
