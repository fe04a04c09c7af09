"""pgqueuer and procrastinate, which the worker is compared with."""
