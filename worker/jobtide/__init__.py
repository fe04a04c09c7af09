"""Jobtide: one Postgres table as a multi-tenant work queue.

    from jobtide import Tide

    tide = Tide()

    @tide.job("email.send")
    def send(payload: dict, ctx) -> dict: ...

Run it with `jobtide worker acme.jobs:tide`; give it work with `jobtide.enqueue(connection, "email.send", {...},
tenant_id=...)`.
"""

from jobtide._version import __version__
from jobtide.context import Context
from jobtide.cron.schedule import slot_of
from jobtide.errors import Fail, Retry, Snooze
from jobtide.job import Job
from jobtide.producer.enqueue import NewJob, enqueue, enqueue_async, enqueue_many, enqueue_many_async
from jobtide.tide import Tide

__all__ = [
    "Context",
    "Fail",
    "Job",
    "NewJob",
    "Retry",
    "Snooze",
    "Tide",
    "__version__",
    "enqueue",
    "enqueue_async",
    "enqueue_many",
    "enqueue_many_async",
    "slot_of",
]
