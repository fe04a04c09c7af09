"""The dashboard of all pools, databases and controllers.

Only the leader reports pools and databases. `max by` keeps a sum right while two report for one scrape, and where two
monitors scrape the same controller.
"""

from __future__ import annotations

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
from dev.generate.dashboards.promql import first, greatest, per_minute, per_second, processes, quantile

UID, POOL_UID = "jobtide-fleet", "jobtide-pool"
POOLS, DATABASES = 'namespace=~"$namespace", pool=~"$pool"', 'database=~"$database"'
CHOSEN = "var-datasource=${datasource}&var-namespace=${__field.labels.namespace}&var-pool=${__field.labels.pool}"
OPEN_POOL = ("Open the pool", f"/d/{POOL_UID}?{CHOSEN}&${{__url_time_range}}")

LIMITED = "jobtide_pool_limited_replicas"
OUTCOMES = "completed, failed, retried (tried again later), snoozed or returned (not counted as an attempt)."

UNKNOWN = "unknown"
NO_POOLS = "No numbers: no controller that leads is scraped, no pool is chosen, or the database can't be read"
NO_WORKERS = "No numbers: workers are not scraped, see metrics.workerPodMonitor"
NO_CONTROLLER = "No controller is scraped"
NO_DATABASE = "No numbers: no controller that leads is scraped, or the database can't be read"
ZERO = "0 * sum(jobtide_leader)"  # where a controller is scraped: else it is unknown
ASK = "`kubectl jobtide why POOL` says what to do."
OTHER_TROUBLE = f'{POOLS}, condition!="KeepingUp"'
BEHIND = (
    "PromiseMissed: a job waited for longer than promised, within the last minute. AllFailing: every attempt fails. "
    f"PromiseBelowStart: the promise is shorter than workers take to start. {ASK}"
)


def _pools(metric: str) -> str:
    return greatest(metric, "namespace", "pool", where=POOLS)


def _databases(metric: str, *labels: str) -> str:
    return greatest(metric, "database", *labels, where=DATABASES)


NOW = Row(
    "Now",
    (
        Stat(
            "Pools behind",
            "Pools that don't keep their promise, or whose jobs all fail. The graph below names them with the reason.",
            "none",
            Query(f"count({_pools('jobtide_pool_behind')}) or {ZERO}", "pools"),
            UNKNOWN,
            colors=((0, GREEN), (1, RED)),
        ),
        Stat(
            "Databases unreadable",
            "While a database can't be read, the workers of its pools stay as they are.",
            "none",
            Query(f"count({_databases('jobtide_database_readable')} == 0) or {ZERO}", "databases"),
            UNKNOWN,
            colors=((0, GREEN), (1, RED)),
        ),
        Stat(
            "Controllers that lead",
            "One. For some seconds after a failure 0; for longer, no pool is scaled. 2 is a bug.",
            "none",
            Query(f"sum({greatest('jobtide_leader', 'instance', 'pod')})", "controllers"),
            UNKNOWN,
            colors=((0, RED), (1, GREEN), (2, RED)),
        ),
        Stat(
            "Jobs waiting",
            "Of all chosen pools, scheduled jobs included.",
            "short",
            Query(f"sum({_pools('jobtide_pool_pending')})", "jobs"),
            UNKNOWN,
        ),
        Stat(
            "Oldest due job",
            "The longest wait of a due job in any chosen pool.",
            "s",
            Query(f"max({_pools('jobtide_pool_oldest_seconds')})", "oldest"),
            UNKNOWN,
        ),
        Stat(
            "Workers ready",
            "Of all chosen pools.",
            "short",
            Query(f"sum({_pools('jobtide_pool_ready_replicas')})", "workers"),
            UNKNOWN,
        ),
    ),
)

PROMISES = Row(
    "Do the pools keep their promises?",
    (
        Graph(
            "Jobs waiting, by pool",
            "The 20 pools with the most. A line ends while its database can't be read: unknown is not zero.",
            "short",
            (Query(first(_pools("jobtide_pool_pending")), "{{namespace}}/{{pool}}"),),
            NO_POOLS,
            link=OPEN_POOL,
        ),
        Graph(
            "Oldest due job, by pool",
            "The 20 pools with the oldest. The dashboard of a pool has its promise beside it.",
            "s",
            (Query(first(_pools("jobtide_pool_oldest_seconds")), "{{namespace}}/{{pool}}"),),
            NO_POOLS,
            link=OPEN_POOL,
        ),
        States(
            "Pools behind, by reason",
            BEHIND,
            Query(
                greatest("jobtide_pool_behind", "namespace", "pool", "reason", where=POOLS),
                "{{namespace}}/{{pool}}: {{reason}}",
            ),
            "No pool is behind",
            ((1, "behind", RED),),
            link=OPEN_POOL,
        ),
    ),
)

WORKERS = Row(
    "Are there the workers that it takes?",
    (
        Graph(
            "Workers desired, ready and busy",
            "Of all chosen pools. Desired above ready for long: pods don't start, see the conditions of the pools.",
            "short",
            (
                Query(f"sum({_pools('jobtide_pool_desired_replicas')})", "desired"),
                Query(f"sum({_pools('jobtide_pool_ready_replicas')})", "ready"),
                Query(f"sum({_pools('jobtide_pool_busy_replicas')})", "busy"),
            ),
            NO_POOLS,
            steps=True,
        ),
        Graph(
            "Decisions, by reason",
            "Changes of a pool's number of workers, in all pools.",
            "suffix:/min",
            (
                Query(per_minute("jobtide_decisions_total", "reason"), "{{reason}}"),
                Query(per_minute("jobtide_limited_decisions_total", "limit"), "limited by {{limit}}"),
            ),
            "No decision since the controller started",
        ),
        Graph(
            "Jobs ended, by outcome",
            OUTCOMES,
            "suffix:jobs/s",
            (
                Query(
                    per_second("jobtide_worker_jobs_total", "outcome", where=POOLS),
                    "{{outcome}}",
                ),
            ),
            NO_WORKERS,
            stacked=True,
        ),
        States(
            "Pools in other trouble, by condition",
            f"Conditions that are not as they should be, beside KeepingUp. {ASK}",
            Query(
                greatest("jobtide_pool_trouble", "namespace", "pool", "condition", "reason", where=OTHER_TROUBLE),
                "{{namespace}}/{{pool}}: {{condition}} {{reason}}",
            ),
            "All other conditions of all pools are as they should be",
            ((1, "trouble", RED),),
            width=12,
            link=OPEN_POOL,
        ),
        Graph(
            "Workers kept away, by limit",
            "Workers that the promise requires and a limit does not allow, of all chosen pools.",
            "short",
            (
                Query(
                    f"sum by (limit) ({greatest(LIMITED, 'namespace', 'pool', 'limit', where=POOLS)})",
                    "{{limit}}",
                ),
            ),
            "No limit keeps a worker away",
            width=12,
            steps=True,
            stacked=True,
        ),
    ),
)

READINGS = Row(
    "Do the databases answer?",
    (
        States(
            "Databases readable",
            "While a database can't be read, its pools are held. The condition DatabaseReachable has the error.",
            Query(f"min by (database) ({_databases('jobtide_database_readable', 'reason')})", "{{database}}"),
            NO_CONTROLLER,
            ((0, "unreadable", RED), (1, "readable", GREEN)),
        ),
        Graph(
            "Databases lost, by reason",
            "Times that a database became unreadable.",
            "suffix:/min",
            (
                Query(
                    per_minute("jobtide_database_losses_total", "database", "reason", where=DATABASES),
                    "{{database}}: {{reason}}",
                ),
            ),
            "None was lost since the controller started",
        ),
        Graph(
            "Duration of a reading",
            "The one statement that counts the jobs. A slow one makes readings rarer: they use at most 5 % of a core.",
            "s",
            tuple(
                Query(
                    quantile(share, "jobtide_read_seconds", "database", where=DATABASES),
                    f"{{{{database}}}} p{share * 100:g}",
                )
                for share in (0.5, 0.99)
            ),
            NO_DATABASE,
        ),
        Graph(
            "Connections granted, of the budget",
            "Connections of all workers that may run. At the budget, pools wait for each other: CappedByConnections.",
            "short",
            (
                Query(_databases("jobtide_connections_granted"), "{{database}}: granted"),
                Query(_databases("jobtide_connection_budget"), "{{database}}: budget"),
            ),
            "No database has a connectionBudget",
            steps=True,
            limit="budget$",
        ),
        Graph(
            "Jobs waiting, by type",
            "The 20 types with the most. Counting stops early in deep queues: at least so many.",
            "short",
            (Query(first(_databases("jobtide_type_pending", "type")), "{{database}}: {{type}}"),),
            NO_DATABASE,
        ),
        Graph(
            "Jobs that no pool handles",
            "Waiting jobs of types without a pool: a typo of a producer, or a pool that is missing.",
            "short",
            (Query(_databases("jobtide_unserved_jobs", "type"), "{{database}}: {{type}}"),),
            "Every type has a pool",
            steps=True,
        ),
    ),
)

TABLE = Row(
    "Is the table healthy?",
    (
        Graph(
            "Oldest snapshot",
            "Vacuum keeps every row that died after it. A transaction, a prepared one or a replication slot holds it.",
            "s",
            (Query(_databases("jobtide_table_oldest_snapshot_seconds"), "{{database}}"),),
            NO_DATABASE,
        ),
        Graph(
            "Live and dead rows",
            "Dead rows that keep growing slow down claims: see the oldest snapshot and autovacuum.",
            "short",
            (
                Query(_databases("jobtide_table_live_rows"), "{{database}}: live"),
                Query(_databases("jobtide_table_dead_rows"), "{{database}}: dead"),
            ),
            NO_DATABASE,
        ),
        Graph(
            "Since the last vacuum",
            "Of job_queue, by autovacuum or by hand.",
            "s",
            (Query(_databases("jobtide_table_autovacuum_age_seconds"), "{{database}}"),),
            "The table was never vacuumed, or the database can't be read",
        ),
        Graph(
            "Size of the table",
            "With its indexes.",
            "bytes",
            (Query(_databases("jobtide_table_bytes"), "{{database}}"),),
            NO_DATABASE,
            width=6,
        ),
        Graph(
            "Ended jobs deleted",
            "By retention of the pools. Less than what ends, for days: the table grows.",
            "suffix:jobs/s",
            (
                Query(
                    per_second("jobtide_deleted_jobs_total", "database", "status", where=DATABASES),
                    "{{database}}: {{status}}",
                ),
            ),
            "None was deleted since the controller started: no pool has a retention, or nothing is old enough",
            width=6,
        ),
        Graph(
            "Duration of a batch of deletions",
            "Batches rest in between, so that they use at most 3 % of the time.",
            "s",
            (
                Query(
                    quantile(0.99, "jobtide_deletion_seconds", "database", where=DATABASES),
                    "{{database}} p99",
                ),
            ),
            "None was deleted since the controller started: no pool has a retention, or nothing is old enough",
            width=6,
        ),
        Graph(
            "Since the last pass of retention",
            "A pass looks at all ended jobs, and ends within hours. Much longer: see the status of the pools.",
            "s",
            (
                Query(
                    f"time() - {_databases('jobtide_retention_complete_timestamp_seconds')}",
                    "{{database}}",
                ),
            ),
            "No pool has a retention: all jobs stay",
            width=6,
        ),
    ),
)

CONTROLLERS = Row(
    "Does the controller work?",
    (
        Graph(
            "Controllers that lead",
            "Each line is a controller; together they are 1.",
            "none",
            (Query(greatest("jobtide_leader", "instance", "pod"), "{{pod}} {{instance}}"),),
            NO_CONTROLLER,
            steps=True,
            stacked=True,
        ),
        Graph(
            "Jobs rescued",
            "Jobs of gone workers that were returned to the queue. given_back: the pod was deleted or evicted. "
            "counted: it crashed, and the attempt counts.",
            "suffix:jobs/s",
            (
                Query(
                    per_second("jobtide_rescued_jobs_total", "database", "attempt", where=DATABASES),
                    "{{database}}: {{attempt}}",
                ),
            ),
            NO_DATABASE,
        ),
        Graph(
            "Duration of a tick",
            "Read, decide and hand on, for all pools of a database.",
            "s",
            (
                Query(
                    quantile(0.99, "jobtide_tick_seconds", "database", where=DATABASES),
                    "{{database}} p99",
                ),
            ),
            NO_DATABASE,
        ),
        Graph(
            "Writes to the API server",
            "By what is written and the HTTP status; 0 is no answer.",
            "suffix:/min",
            (Query(per_minute("jobtide_write_seconds_count", "what", "code"), "{{what}} {{code}}"),),
            "No write since the controller started",
        ),
        Graph(
            "Duration of writes to the API server",
            "99 of 100 take less.",
            "s",
            (Query(quantile(0.99, "jobtide_write_seconds", "what"), "{{what}} p99"),),
            "No write since the controller started",
        ),
        Graph(
            "Trouble of the controller",
            "Writes that will be tried again, missed watch events, refused pools, and bugs: the log has each. Please "
            "report bugs.",
            "suffix:/min",
            (
                Query(per_minute("jobtide_write_retries_total", "what"), "retry of {{what}}"),
                Query(per_minute("jobtide_relist_repairs_total", "kind"), "missed events of {{kind}}"),
                Query(per_minute("jobtide_rejected_objects_total"), "pools refused"),
                Query(per_minute("jobtide_bugs_total"), "bugs"),
            ),
            NO_CONTROLLER,
        ),
        Graph(
            "Workers lost with jobs",
            "Gone pods that still held jobs. counted: it crashed. given_back: it was deleted, and did not end in time.",
            "suffix:/min",
            (
                Query(
                    per_minute("jobtide_lost_workers_total", "database", "attempt", where=DATABASES),
                    "{{database}}: {{attempt}}",
                ),
            ),
            NO_DATABASE,
        ),
        Graph(
            "Versions",
            "Processes of each version. Two for long: a rollout that does not end.",
            "short",
            (
                Query(processes("jobtide_build_info"), "controller {{version}}"),
                Query(
                    processes("jobtide_worker_info", where=POOLS),
                    "worker {{version}}",
                ),
            ),
            NO_CONTROLLER,
            steps=True,
            width=16,
        ),
    ),
)


def fleet() -> Dashboard:
    """Its panels answer one question a row, the most urgent first."""
    replicas = "jobtide_pool_desired_replicas"
    return Dashboard(
        uid=UID,
        title="Jobtide / Fleet",
        description="All job worker pools, their databases and the controllers.",
        variables=(
            Variable("namespace", "Namespace", f"label_values({replicas}, namespace)", several=True, all_of=".+"),
            Variable(
                "pool", "Pool", f'label_values({replicas}{{namespace=~"$namespace"}}, pool)', several=True, all_of=".+"
            ),
            Variable(
                "database", "Database", "label_values(jobtide_database_readable, database)", several=True, all_of=".+"
            ),
        ),
        rows=(NOW, PROMISES, WORKERS, READINGS, TABLE, CONTROLLERS),
    )


def text() -> str:
    """charts/jobtide/dashboards/fleet.json."""
    return render(fleet())
