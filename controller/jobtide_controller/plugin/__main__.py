from __future__ import annotations

import sys

from jobtide_controller.plugin.command import main

sys.exit(main())
