from __future__ import annotations

from hypothesis import HealthCheck, settings

# Derandomized: a failure is the same on every machine. Few examples: the whole level takes seconds.
settings.register_profile(
    "unit",
    max_examples=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unit")
