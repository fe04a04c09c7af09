"""10,000 pools: what they cost while no job arrives, and while a thousand of them change; a thousand at once."""

from __future__ import annotations

from statistics import mean
from time import monotonic

from dev.bench.figures import Figure, median_and_spread
from dev.bench.pools.burst import JOBS_EACH, Burst, burst, bursts
from dev.bench.pools.churn import A_MINUTE, MEASURED_SECONDS, Churn, churn
from dev.bench.pools.cluster import job_type, manifest
from dev.bench.pools.copies import copy_pods, copy_pool, first_pod
from dev.bench.pools.site import Site, Statements, site
from dev.machine.wait import wait_until

POOLS = 10_000
JOBS = 100
IDLE_SECONDS = 30.0
PODS = 500
EVENTS = 5_000
EVENTS_WITHIN_SECONDS = 300.0
AT_ONCE = 1_000


def measure(postgres_version: int) -> list[Figure]:
    """Returns memory, CPU and statements with POOLS pools, idle and not, and the times when AT_ONCE scale at once."""
    with site(postgres_version) as here:
        alone, alone_mb = _one_pool(here)
        rounds = bursts(here, AT_ONCE)
        copy_pool(here.cluster, 0, range(1, POOLS))
        here.cluster.await_pools(POOLS)
        here.insert(job_type(POOLS - 1), JOBS)
        with here.controller() as running:
            first = running.seconds_until(lambda: f"{POOLS - 1:05d}: 0 -> " in running.words, what="deciding")
            here.clear()
            quiet = running.await_quiet()
            cpu_before = running.cpu_seconds
            started = monotonic()
            many = here.statements(IDLE_SECONDS)
            cores = (running.cpu_seconds - cpu_before) / (monotonic() - started)
            resident, peak = running.resident_mb, running.peak_mb
            events = _events_per_second(here)
            among_many = burst(here, running, range(POOLS - AT_ONCE, POOLS))
            changing = churn(here, running, POOLS - AT_ONCE)
    how = f"{POOLS:,} pools with a type and a Deployment each, a real API server and database, no jobs"
    return [
        Figure("10,000 pools: controller resident memory", resident, "MB", 250, "lower",
               f"VmRSS; {how}; {alone_mb:.0f} MB with 1 pool, peak since the start {peak:.0f} MB"),
        Figure("10,000 pools: controller idle CPU", cores, "cores", 0.1, "lower",
               f"over {IDLE_SECONDS:.0f} s between two resyncs; {how}"),
        Figure("statements per reading, 10,000 pools against 1", many.per_reading / alone.per_reading, "x", 1, "lower",
               f"pg_stat_statements, idle; {many.per_reading} against {alone.per_reading}, BEGIN and COMMIT included; "
               f"{many.per_second:.1f} against {alone.per_second:.1f} a second"),
        Figure("10,000 pools: start to first decision", first, "s", None, "lower",
               f"from exec to the scale-up of the pool that has {JOBS} jobs; idle after {quiet:.0f} s"),
        Figure("watch events", events, "events/s", None, "higher",
               f"{EVENTS:,} updates of {PODS} worker pods at once, beside {POOLS:,} pools, until the jobs of a pod "
               "deleted after them are back in the queue"),
        *_at_once(rounds, among_many),
        *_changing(changing),
    ]  # fmt: skip


def _at_once(rounds: list[Burst], among_many: Burst) -> list[Figure]:
    seconds, spread = median_and_spread([one.seconds for one in rounds])
    ours = 1_000 * mean(one.controller_cpu_seconds for one in rounds) / AT_ONCE
    servers = 1_000 * mean(one.api_server_cpu_seconds for one in rounds) / AT_ONCE
    how = f"from the commit of {JOBS_EACH} jobs for each pool, as a watch sees it"
    return [
        Figure("1,000 pools need workers at once: last number written", seconds, "s", 5, "lower",
               f"{how}; a number takes {ours:.1f} ms of the controller's CPU time and {servers:.1f} ms of the API "
               "server's on the same cores", spread),
        Figure("the same, 1,000 of 10,000 pools", among_many.seconds, "s", 5, "lower", how),
    ]  # fmt: skip


def _changing(changing: Churn) -> list[Figure]:
    how = f"{A_MINUTE:,} pools a minute go from 0 workers up and as many down again, over {MEASURED_SECONDS:.0f} s"
    return [
        Figure("10,000 pools, 1,000 change a minute: controller CPU", changing.cores, "cores", None, "lower", how),
        Figure("10,000 pools, 1,000 change a minute: controller resident memory", changing.resident_mb, "MB", 250,
               "lower", f"VmRSS; {how}"),
        Figure("10,000 pools, 1,000 change a minute: jobs to number, p95", changing.p95_seconds, "s", None, "lower",
               f"{how}; from the commit of a pool's jobs"),
    ]  # fmt: skip


def _one_pool(here: Site) -> tuple[Statements, float]:
    """Statements and MB of a controller with one pool, which is complete and can be copied afterwards."""
    here.cluster.add(manifest(0))
    with here.controller() as running:
        here.cluster.await_fleet(0)
        running.await_quiet()
        return here.statements(10), running.resident_mb


def _events_per_second(here: Site) -> float:
    """Events of one kind arrive in order: when the last one has its effect, all were processed."""
    uid = first_pod(here.cluster)
    update = copy_pods(here.cluster, range(1, PODS))
    here.insert(job_type(0), 1, claimed_by=f"jobtide:{uid}:1")
    started = monotonic()
    for _ in range(EVENTS // PODS):
        update()
    here.cluster.delete_first_pod()
    wait_until(
        f"the effect of the last of {EVENTS:,} events",
        lambda: not here.count("processing"),
        within_seconds=EVENTS_WITHIN_SECONDS,
        poll_seconds=0.05,
    )
    return EVENTS / (monotonic() - started)
