"""Validation rules of the CRD in CEL, evaluated by the API server: it refuses an invalid object at apply.

Each message says which field, which value, and what to write instead. There is no webhook: a user could change no
pool while it is down.
"""

from __future__ import annotations

import re
from typing import Any

NAME_MAX_LENGTH = 39
"""`<pool>-worker-<10 of template hash>-<5 random>` is the name of a pod, which is cut after 63 characters."""

DRAIN_MARGIN_SECONDS = 10
"""Time after the drain: the worker requeues its jobs and exits, and the kubelet notices."""

_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def rule(expression: str, message: str, *values: str) -> dict[str, str]:
    """One CEL rule. `values` are CEL expressions for the %d and %s of the message, which are all in parentheses.

    It uses format(): the API server estimates the cost of string concatenation from the longest possible strings,
    and would refuse the CRD.
    """
    if not values:
        return {"rule": expression, "message": message}
    plain = re.sub(r" \([^()]*%[ds][^()]*\)", "", message)  # shown if messageExpression fails
    return {
        "rule": expression,
        "message": plain,
        "messageExpression": f'"{message}".format([{", ".join(values)}])',
    }


def validations(*rules: dict[str, str]) -> dict[str, Any]:
    """Returns the rules as the schema extension under which the API server expects them."""
    return {"x-kubernetes-validations": list(rules)}


POOL = validations(
    rule(
        f"size(self.metadata.name) <= {NAME_MAX_LENGTH}",
        "metadata.name ('%s', %d characters) is too long; "
        f"use at most {NAME_MAX_LENGTH}, or the names of its pods are too long",
        "self.metadata.name",
        "size(self.metadata.name)",
    ),
)

SPEC = validations(
    rule(
        "self.minReplicas <= self.maxReplicas",
        "maxReplicas (%d) must be >= minReplicas (%d); raise maxReplicas or lower minReplicas",
        "self.maxReplicas",
        "self.minReplicas",
    ),
    rule(
        "!has(self.replicas) || self.replicas <= self.maxReplicas",
        "replicas (%d) must be <= maxReplicas (%d); pin fewer workers or raise maxReplicas",
        "self.replicas",
        "self.maxReplicas",
    ),
    rule(
        "!(has(self.maxWaitSeconds) && has(self.jobsPerWorker))",
        "maxWaitSeconds (%d) and jobsPerWorker (%d): set one of them; jobsPerWorker replaces the promise",
        "self.maxWaitSeconds",
        "self.jobsPerWorker",
    ),
    # Here and not on retry itself: its default is {}, which the API server validates before it fills in the fields.
    rule(
        "self.retry.baseSeconds <= self.retry.maxSeconds",
        "retry.maxSeconds (%d) must be >= retry.baseSeconds (%d); raise maxSeconds or lower baseSeconds",
        "self.retry.maxSeconds",
        "self.retry.baseSeconds",
    ),
    rule(
        "!has(self.pausedUntil) || self.paused",
        "pausedUntil (%s) needs paused: true",
        "self.pausedUntil",
    ),
    rule(
        "!has(self.template.spec.terminationGracePeriodSeconds) || "
        f"self.template.spec.terminationGracePeriodSeconds >= self.drainSeconds + {DRAIN_MARGIN_SECONDS}",
        "template: terminationGracePeriodSeconds (%d) must exceed drainSeconds (%d) "
        f"by {DRAIN_MARGIN_SECONDS} s; leave it out to get the right value",
        "self.template.spec.terminationGracePeriodSeconds",
        "self.drainSeconds",
    ),
)

JOB_TYPE = validations(
    rule(
        "self == self.trim()",
        "types ('%s') must not begin or end with a space; job_queue.type is matched exactly (write '%s')",
        "self",
        "self.trim()",
    ),
    rule("self != '*'", "types: '*' is no wildcard; name each job_queue.type that these workers handle"),
)

DATABASE = validations(
    rule(
        "self == oldSelf",
        "database is immutable ('%s', not '%s'); create a new pool and delete this one",
        "oldSelf",
        "self",
    ),
)

TENANT_OVERRIDES = validations(
    rule(
        f"self.all(tenant, tenant.matches('{_UUID}'))",
        "tenants.overrides ('%s') must have tenant ids as keys: lower-case UUIDs, as in job_queue.tenant_id",
        f"self.map(tenant, tenant).filter(tenant, !tenant.matches('{_UUID}'))[0]",
    ),
)

POD_SPEC = validations(
    rule(
        "self.containers.exists(c, c.name == 'worker')",
        "template.spec.containers (%s): none is named worker; "
        "the container named worker runs the jobs and gets command, environment and probes",
        "self.containers.map(c, c.name)",
    ),
    rule(
        "self.containers.filter(c, c.name == 'worker').all(c, has(c.image) && c.image != '')",
        "template.spec.containers: the container named worker needs an image, for example acme/jobs:1.4",
    ),
    rule(
        "!has(self.restartPolicy) || self.restartPolicy == 'Always'",
        "template.spec.restartPolicy ('%s') must be Always; leave it out",
        "self.restartPolicy",
    ),
)
