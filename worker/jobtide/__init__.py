"""Jobtide: one Postgres table as a multi-tenant work queue.

    from jobtide import Tide

    tide = Tide()

    @tide.job("email.send")
    def send(payload: dict, ctx) -> dict: ...

Run it with `jobtide worker acme.jobs:tide`.
"""

from jobtide._version import __version__
from jobtide.errors import Fail, Retry, Snooze
from jobtide.flights import Context
from jobtide.job import Job
from jobtide.tide import Tide

__all__ = ["Context", "Fail", "Job", "Retry", "Snooze", "Tide", "__version__"]
