"""The dashboard of one pool: its promise, its workers, its jobs by type, and the tenants of its database."""

from __future__ import annotations

from dev.generate.dashboards.fleet import BEHIND, NO_DATABASE, NO_POOLS, NO_WORKERS, OUTCOMES, POOL_UID, UNKNOWN
from dev.generate.dashboards.grafana import (
    GREEN,
    RED,
    Dashboard,
    Graph,
    Query,
    Row,
    Stat,
    States,
    Variable,
    render,
)
from dev.generate.dashboards.promql import WINDOW, greatest, per_minute, per_second, processes, quantile

POOL = 'namespace="$namespace", pool="$pool"'
OF_TYPES = f'{POOL}, type=~"$type"'
SHARES = (0.5, 0.95, 0.99)
ENDED, FAILED = "jobtide_worker_jobs_total", f'{OF_TYPES}, outcome=~"failed|retried"'
NO_JOBS = "No job so far, or workers are not scraped: see metrics.workerPodMonitor"


def _pool(metric: str) -> str:
    return greatest(metric, where=POOL)


def _quantiles(histogram: str) -> tuple[Query, ...]:
    return tuple(
        Query(quantile(share, histogram, "type", where=OF_TYPES), f"{{{{type}}}} p{share * 100:g}") for share in SHARES
    )


PROMISES = f"jobtide_pool_promise_seconds{{{OF_TYPES}}} < Inf"

BEHIND_BY = greatest("jobtide_pool_behind", "reason", where=POOL)

NOW = Row(
    "Now",
    (
        Stat(
            "Jobs waiting", "Scheduled jobs included.", "short", Query(_pool("jobtide_pool_pending"), "jobs"), UNKNOWN
        ),
        Stat(
            "Jobs running",
            "In all workers of the pool.",
            "short",
            Query(_pool("jobtide_pool_processing"), "jobs"),
            UNKNOWN,
        ),
        Stat(
            "Oldest due job",
            "Of all types of the pool.",
            "s",
            Query(_pool("jobtide_pool_oldest_seconds"), "oldest"),
            UNKNOWN,
        ),
        Stat(
            "Promise",
            "The shortest of the chosen types, as the windows of the pool set it now.",
            "s",
            Query(f"min({PROMISES})", "promise"),
            "none",
        ),
        Stat(
            "Workers ready",
            "They claim jobs.",
            "short",
            Query(_pool("jobtide_pool_ready_replicas"), "workers"),
            UNKNOWN,
        ),
        Stat(
            "Behind",
            "Reasons why the pool doesn't keep up.",
            "none",
            Query(
                f"count({BEHIND_BY}) or 0 * {_pool('jobtide_pool_desired_replicas')}",
                "reasons",
            ),
            UNKNOWN,
            colors=((0, GREEN), (1, RED)),
        ),
    ),
)

KEPT = Row(
    "Does it keep its promise?",
    (
        Graph(
            "Oldest due job, and the promise",
            "The oldest is that of all types; with spec.promises, compare it with the longest promise too.",
            "s",
            (
                Query(_pool("jobtide_pool_oldest_seconds"), "oldest due job"),
                Query(f"min({PROMISES})", "shortest promise"),
                Query(f"max({PROMISES})", "longest promise"),
            ),
            NO_POOLS,
            limit="promise$",
        ),
        Graph(
            "Jobs waiting and running",
            "A line ends while the database can't be read: unknown is not zero.",
            "short",
            (
                Query(_pool("jobtide_pool_pending"), "waiting"),
                Query(_pool("jobtide_pool_processing"), "running"),
            ),
            NO_POOLS,
        ),
        States(
            "Trouble, by condition",
            f"Conditions that are not as they should be, KeepingUp too. {BEHIND}",
            Query(greatest("jobtide_pool_trouble", "condition", "reason", where=POOL), "{{condition}} {{reason}}"),
            "All conditions are as they should be",
            ((1, "trouble", RED),),
        ),
    ),
)

WORKERS = Row(
    "Does it have the workers that it takes?",
    (
        Graph(
            "Workers desired, ready and busy",
            "Desired above ready for long: pods don't start, see the condition Ready.",
            "short",
            (
                Query(_pool("jobtide_pool_desired_replicas"), "desired"),
                Query(_pool("jobtide_pool_ready_replicas"), "ready"),
                Query(_pool("jobtide_pool_busy_replicas"), "busy"),
            ),
            NO_POOLS,
            steps=True,
            width=6,
        ),
        Graph(
            "Decisions",
            "Changes of the number of workers. `kubectl describe jwp POOL` has the reason of each.",
            "short",
            (
                Query(
                    f"max(changes(jobtide_pool_desired_replicas{{{POOL}}}{WINDOW}))",
                    "changes",
                ),
            ),
            NO_POOLS,
            steps=True,
            width=6,
        ),
        Graph(
            "Versions of the workers",
            "Processes of each version. Two for long: a rollout that does not end.",
            "short",
            (Query(processes("jobtide_worker_info", where=POOL), "{{version}}"),),
            NO_WORKERS,
            steps=True,
            width=6,
        ),
        Graph(
            "Workers kept away, by limit",
            "Workers that the promise requires and a limit does not allow.",
            "short",
            (Query(greatest("jobtide_pool_limited_replicas", "limit", where=POOL), "{{limit}}"),),
            "No limit keeps a worker away",
            steps=True,
            width=6,
        ),
    ),
)

JOBS = Row(
    "How do its jobs fare?",
    (
        Graph(
            "Wait, by type",
            "From due to claimed, on the database's clock.",
            "s",
            _quantiles("jobtide_worker_wait_seconds"),
            NO_WORKERS,
            logarithmic=True,
            width=12,
        ),
        Graph(
            "Run time, by type",
            "How long handlers run. Longer ones need more workers for the same promise.",
            "s",
            _quantiles("jobtide_worker_run_seconds"),
            NO_WORKERS,
            logarithmic=True,
            width=12,
        ),
        Graph(
            "Outcomes, by type",
            OUTCOMES,
            "suffix:jobs/s",
            (
                Query(
                    per_second("jobtide_worker_jobs_total", "type", "outcome", where=OF_TYPES) + " > 0",
                    "{{type}} {{outcome}}",
                ),
            ),
            NO_JOBS,
            stacked=True,
        ),
        Graph(
            "Attempts that fail, by type",
            "Failed and retried, of all attempts that ended.",
            "percentunit",
            (
                Query(
                    f"{per_second(ENDED, 'type', where=FAILED)} / {per_second(ENDED, 'type', where=OF_TYPES)}",
                    "{{type}}",
                ),
            ),
            NO_WORKERS,
            most=1,
        ),
        Graph(
            "Timeouts, by type",
            "Handlers that ran past their timeout.",
            "suffix:/min",
            (Query(per_minute("jobtide_worker_timeouts_total", "type", where=OF_TYPES), "{{type}}"),),
            NO_WORKERS,
        ),
    ),
)

WRITES = Row(
    "Do its workers reach the database?",
    (
        Graph(
            "Leases lost",
            "Another worker may have these jobs: the pod was cut off or stood still for longer than its lease.",
            "suffix:/min",
            (Query(per_minute("jobtide_worker_leases_lost_total", "during", where=POOL), "during {{during}}"),),
            NO_WORKERS,
            width=6,
        ),
        Graph(
            "Ends not written",
            "Jobs that ended, while the table still says that they run. Claims pause when there are many.",
            "short",
            (
                Query(f"sum(jobtide_worker_unwritten_ends{{{POOL}}})", "ends"),
                Query(f"sum(increase(jobtide_worker_claims_paused_total{{{POOL}}}{WINDOW}))", "pauses of claims"),
            ),
            NO_WORKERS,
            width=6,
        ),
        Graph(
            "Oldest end that is not written",
            "How long it has waited. Those that the server refuses are left out.",
            "s",
            (Query(greatest("jobtide_worker_unwritten_seconds", where=POOL), "oldest"),),
            NO_WORKERS,
            width=6,
        ),
        Graph(
            "Refused by the server",
            "Rows that a trigger, a policy or a lock did not let the worker change, and results that can't be stored.",
            "suffix:/min",
            (
                Query(per_minute("jobtide_worker_rows_refused_total", "during", where=POOL), "rows, {{during}}"),
                Query(per_minute("jobtide_worker_ends_refused_total", where=POOL), "results"),
            ),
            NO_WORKERS,
            width=6,
        ),
        Graph(
            "Claims and writes of ends",
            "99 of 100 take less. claim: those that brought jobs.",
            "s",
            tuple(
                Query(quantile(0.99, f"jobtide_worker_{what}_seconds", where=POOL), f"{what} p99")
                for what in ("claim", "finish")
            ),
            NO_JOBS,
        ),
        Graph(
            "Jobs of workers that are gone",
            "rescued: returned to the queue by another worker or after a restart. apart: a crash took them along, so "
            "they run in a process of their own, or alone.",
            "suffix:/min",
            (
                Query(per_minute("jobtide_worker_rescued_total", "why", where=POOL), "rescued, {{why}}"),
                Query(per_minute("jobtide_worker_suspects_total", "how", where=POOL), "apart, {{how}}"),
            ),
            NO_WORKERS,
        ),
        Graph(
            "Outages of the database, as workers see it",
            "By what failed first.",
            "suffix:/min",
            (Query(per_minute("jobtide_worker_database_lost_total", "doing", where=POOL), "{{doing}}"),),
            NO_WORKERS,
        ),
    ),
)

WHOSE = Row(
    "Whose jobs wait?",
    (
        Graph(
            "Jobs waiting, by type",
            "In the pool's database; of a type that several pools handle, those of all. At least so many.",
            "short",
            (
                Query(
                    greatest("jobtide_type_pending", "type", where='database="$database", type=~"$type"'),
                    "{{type}}",
                ),
            ),
            NO_DATABASE,
            width=12,
        ),
        Graph(
            "Jobs waiting, by tenant",
            "In the pool's database, of all types: the ten tenants with the most, and `other` for the rest.",
            "short",
            (
                Query(
                    greatest("jobtide_tenant_pending", "tenant", where='database="$database", tenant=~"$tenant"'),
                    "{{tenant}}",
                ),
            ),
            "No tenant waits, or the chart's showTenants is false for this database",
            width=12,
            stacked=True,
        ),
    ),
)


def pool() -> Dashboard:
    """Its panels answer one question a row."""
    replicas, promise = "jobtide_pool_desired_replicas", f"jobtide_pool_promise_seconds{{{POOL}}}"
    return Dashboard(
        uid=POOL_UID,
        title="Jobtide / Pool",
        description="One job worker pool: its promise, its workers, its jobs by type and tenant.",
        variables=(
            Variable("namespace", "Namespace", f"label_values({replicas}, namespace)"),
            Variable("pool", "Pool", f'label_values({replicas}{{namespace="$namespace"}}, pool)'),
            Variable("database", "Database", f"label_values({promise}, database)"),
            Variable("type", "Type", f"label_values({promise}, type)", several=True),
            Variable(
                "tenant",
                "Tenant",
                'label_values(jobtide_tenant_pending{database="$database"}, tenant)',
                several=True,
                all_of=".+",
            ),
        ),
        rows=(NOW, KEPT, WORKERS, JOBS, WRITES, WHOSE),
    )


def text() -> str:
    """charts/jobtide/dashboards/pool.json."""
    return render(pool())
