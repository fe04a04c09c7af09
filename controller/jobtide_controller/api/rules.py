"""Validation rules of the CRD in CEL, evaluated by the API server: it refuses an invalid object at apply.

Each message says which field, which value, and what to write instead. There is no webhook: a user could change no
pool while it is down.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NAME_MAX_LENGTH = 39
"""`<pool>-worker-<10 of template hash>-<5 random>` is the name of a pod, which is cut after 63 characters."""

DRAIN_MARGIN_SECONDS = 10
"""Time after the drain: the worker requeues its jobs and exits, and the kubelet notices."""

FIRST_YEAR, LAST_YEAR = 2000, 8999
"""Of pausedUntil: times that every clock and library can show."""

UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


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


def words(broken: Mapping[str, str], *values: object) -> str:
    """The message of a rule for an object that no API server has checked; `values` are those of the rule."""
    template = re.match(r'"(.*)"\.format', broken.get("messageExpression", ""))
    return template[1] % values if template else broken["message"]


def validations(*rules: dict[str, str]) -> dict[str, Any]:
    """Returns the rules as the schema extension under which the API server expects them."""
    return {"x-kubernetes-validations": list(rules)}


LONG_NAME = rule(
    f"size(self.metadata.name) <= {NAME_MAX_LENGTH}",
    "metadata.name ('%s', %d characters) is too long; "
    f"use at most {NAME_MAX_LENGTH}, or the names of its pods are too long",
    "self.metadata.name",
    "size(self.metadata.name)",
)
POOL = validations(LONG_NAME)

MAX_BELOW_MIN = rule(
    "self.minReplicas <= self.maxReplicas",
    "maxReplicas (%d) must be >= minReplicas (%d); raise maxReplicas or lower minReplicas",
    "self.maxReplicas",
    "self.minReplicas",
)
PIN_ABOVE_MAX = rule(
    "!has(self.replicas) || self.replicas <= self.maxReplicas",
    "replicas (%d) must be <= maxReplicas (%d); pin fewer workers or raise maxReplicas",
    "self.replicas",
    "self.maxReplicas",
)
TWO_LAWS = rule(
    "!(has(self.maxWaitSeconds) && has(self.jobsPerWorker))",
    "maxWaitSeconds (%d) and jobsPerWorker (%d): set one of them; jobsPerWorker replaces the promise",
    "self.maxWaitSeconds",
    "self.jobsPerWorker",
)
PROMISE_NO_TYPE = rule(
    "!has(self.promises) || self.promises.all(name, name in self.types)",
    "promises ('%s') must have types of this pool as keys; add it to types, or correct the key",
    "self.promises.map(name, name).filter(name, !(name in self.types))[0]",
)
PROMISES_AND_JOBS = rule(
    "!has(self.promises) || size(self.promises) == 0 || !has(self.jobsPerWorker)",
    "promises (%d) and jobsPerWorker (%d): set one of them; jobsPerWorker replaces every promise",
    "size(self.promises)",
    "self.jobsPerWorker",
)
# Here and not on retry itself: its default is {}, which the API server validates before it fills in the fields.
RETRY_MAX_BELOW_BASE = rule(
    "self.retry.baseSeconds <= self.retry.maxSeconds",
    "retry.maxSeconds (%d) must be >= retry.baseSeconds (%d); raise maxSeconds or lower baseSeconds",
    "self.retry.maxSeconds",
    "self.retry.baseSeconds",
)
PAUSED_UNTIL_ALONE = rule(
    "!has(self.pausedUntil) || self.paused",
    "pausedUntil (%s) needs paused: true; to resume, remove pausedUntil too",
    "self.pausedUntil",
)
# Kubernetes accepts times that no clock shows: the year 0000, an offset of 99 hours. The value of such a time can't be
# read, so the rule comes to no result, and the API server refuses the object with that.
PAUSED_UNTIL_RANGE = rule(
    f"!has(self.pausedUntil) || (self.pausedUntil >= timestamp('{FIRST_YEAR}-01-01T00:00:00Z') && "
    f"self.pausedUntil < timestamp('{LAST_YEAR + 1}-01-01T00:00:00Z'))",
    f"pausedUntil must be a time from the year {FIRST_YEAR} to {LAST_YEAR}, for example 2026-11-30T08:00:00Z",
)
SHORT_GRACE = rule(
    "!has(self.template.spec.terminationGracePeriodSeconds) || "
    f"self.template.spec.terminationGracePeriodSeconds >= self.drainSeconds + {DRAIN_MARGIN_SECONDS}",
    "template: terminationGracePeriodSeconds (%d) must exceed drainSeconds (%d) "
    f"by {DRAIN_MARGIN_SECONDS} s; leave it out to get the right value",
    "self.template.spec.terminationGracePeriodSeconds",
    "self.drainSeconds",
)
_FLOOR_ABOVE = "has(s.minReplicas) && !has(s.maxReplicas) && s.minReplicas > self.maxReplicas"
FLOOR_ABOVE_MAX = rule(
    f"!has(self.schedules) || !self.schedules.exists(s, {_FLOOR_ABOVE})",
    "schedules: minReplicas (%d) of the window ('%s') must be <= maxReplicas (%d); lower it, or set maxReplicas in the "
    "window too",
    f"self.schedules.filter(s, {_FLOOR_ABOVE})[0].minReplicas",
    f"self.schedules.filter(s, {_FLOOR_ABOVE})[0].name",
    "self.maxReplicas",
)
_CEILING_BELOW = "has(s.maxReplicas) && !has(s.minReplicas) && s.maxReplicas < self.minReplicas"
CEILING_BELOW_MIN = rule(
    f"!has(self.schedules) || !self.schedules.exists(s, {_CEILING_BELOW})",
    "schedules: maxReplicas (%d) of the window ('%s') must be >= minReplicas (%d); raise it, or set minReplicas in the "
    "window too",
    f"self.schedules.filter(s, {_CEILING_BELOW})[0].maxReplicas",
    f"self.schedules.filter(s, {_CEILING_BELOW})[0].name",
    "self.minReplicas",
)
WINDOW_OF_TWO_LAWS = rule(
    "!has(self.schedules) || !has(self.jobsPerWorker) || !self.schedules.exists(s, has(s.maxWaitSeconds))",
    "schedules: maxWaitSeconds of the window ('%s') needs a pool with a promise, and jobsPerWorker (%d) replaces it; "
    "remove one of them",
    "self.schedules.filter(s, has(s.maxWaitSeconds))[0].name",
    "self.jobsPerWorker",
)
# Here and not on tenants, whose default is {}, as for retry.
TENANT_TWICE = rule(
    "!has(self.tenants.limits) || !has(self.tenants.overrides) || "
    "self.tenants.limits.all(tenant, !(tenant in self.tenants.overrides))",
    "tenants.limits ('%s') must not name a tenant of tenants.overrides; keep it in one of them",
    "self.tenants.limits.map(tenant, tenant).filter(tenant, tenant in self.tenants.overrides)[0]",
)
SPEC = validations(
    MAX_BELOW_MIN,
    PIN_ABOVE_MAX,
    TWO_LAWS,
    PROMISE_NO_TYPE,
    PROMISES_AND_JOBS,
    RETRY_MAX_BELOW_BASE,
    PAUSED_UNTIL_ALONE,
    PAUSED_UNTIL_RANGE,
    SHORT_GRACE,
    FLOOR_ABOVE_MAX,
    CEILING_BELOW_MIN,
    WINDOW_OF_TWO_LAWS,
    TENANT_TWICE,
)

OUTER_SPACE = rule(
    "self == self.trim()",
    "types ('%s') must not begin or end with a space; job_queue.type is matched exactly (write '%s')",
    "self",
    "self.trim()",
)
WILDCARD = rule("self != '*'", "types: '*' is no wildcard; name each job_queue.type that these workers handle")
NUL = rule(
    "!self.contains('\\u0000')",
    "types: the character U+0000 can't be in a text of PostgreSQL, so no job_queue.type has it; remove it",
)
JOB_TYPE = validations(OUTER_SPACE, WILDCARD, NUL)

DATABASE = validations(
    rule(
        "self == oldSelf",
        "database is immutable ('%s', not '%s'); to change it, delete the pool and create it again",
        "oldSelf",
        "self",
    ),
)

TENANT_NO_UUID = rule(
    f"self.all(tenant, tenant.matches('{UUID}'))",
    "tenants.overrides ('%s') must have tenant ids as keys: lower-case UUIDs, as in job_queue.tenant_id",
    f"self.map(tenant, tenant).filter(tenant, !tenant.matches('{UUID}'))[0]",
)
TENANT_OVERRIDES = validations(TENANT_NO_UUID)

TENANT_LIMIT_NO_UUID = rule(
    f"self.all(tenant, tenant.matches('{UUID}'))",
    "tenants.limits ('%s') must have tenant ids as keys: lower-case UUIDs, as in job_queue.tenant_id",
    f"self.map(tenant, tenant).filter(tenant, !tenant.matches('{UUID}'))[0]",
)
TENANT_LIMIT_EMPTY = rule(
    "self.all(tenant, has(self[tenant].maxConcurrent) || has(self[tenant].weight))",
    "tenants.limits ('%s') limits nothing: set maxConcurrent (0 pauses the tenant) or weight, or remove it",
    "self.map(tenant, tenant).filter(tenant, !has(self[tenant].maxConcurrent) && !has(self[tenant].weight))[0]",
)
TENANT_LIMIT_UNTIL = rule(
    f"self.all(tenant, !has(self[tenant].until) || (self[tenant].until >= timestamp('{FIRST_YEAR}-01-01T00:00:00Z') && "
    f"self[tenant].until < timestamp('{LAST_YEAR + 1}-01-01T00:00:00Z')))",
    f"tenants.limits: until must be a time from the year {FIRST_YEAR} to {LAST_YEAR}, for example 2026-11-30T08:00:00Z",
)
TENANT_LIMITS = validations(TENANT_LIMIT_NO_UUID, TENANT_LIMIT_EMPTY, TENANT_LIMIT_UNTIL)

NO_WORKER = rule(
    "self.containers.exists(c, c.name == 'worker')",
    "template.spec.containers (%s): none is named worker; "
    "the container named worker runs the jobs and gets command, environment and probes",
    "self.containers.map(c, c.name)",
)
NO_IMAGE = rule(
    "self.containers.filter(c, c.name == 'worker').all(c, has(c.image) && c.image != '')",
    "template.spec.containers: the container named worker needs an image, for example acme/jobs:1.4",
)
NOT_ALWAYS = rule(
    "!has(self.restartPolicy) || self.restartPolicy == 'Always'",
    "template.spec.restartPolicy ('%s') must be Always; leave it out",
    "self.restartPolicy",
)
POD_SPEC = validations(NO_WORKER, NO_IMAGE, NOT_ALWAYS)
