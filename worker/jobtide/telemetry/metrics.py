"""Counters and histograms in the Prometheus text format, with the standard library alone.

A worker lives in users' images, where prometheus-client would be one more dependency to keep compatible.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from jobtide._version import __version__
from jobtide.telemetry import events

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)

# name -> (kind, meaning): docs/worker.md is checked against this.
METRICS: dict[str, tuple[str, str]] = {
    "jobtide_worker_info": ("gauge", "1, with the version"),
    "jobtide_worker_running": ("gauge", "Jobs claimed by this process and not ended"),
    "jobtide_worker_jobs_total": ("counter", "Handlers that returned or raised, by type and outcome"),
    "jobtide_worker_claims_total": ("counter", "Claims that brought jobs"),
    "jobtide_worker_claimed_jobs_total": ("counter", "Jobs claimed"),
    "jobtide_worker_claim_seconds": ("histogram", "How long a claim that brought jobs took"),
    "jobtide_worker_finish_seconds": ("histogram", "How long writing a batch of ends took"),
    "jobtide_worker_wait_seconds": ("histogram", "From due to claimed, by type, on the database's clock"),
    "jobtide_worker_run_seconds": ("histogram", "How long handlers ran, by type"),
    "jobtide_worker_leases_lost_total": (
        "counter",
        "Leases lost, by what noticed it: extend, look or finish",
    ),
    "jobtide_worker_rescued_total": ("counter", "Jobs of dead claims that this worker requeued, by why"),
    "jobtide_worker_suspects_total": (
        "counter",
        "Jobs that run apart because a crash took them along, by how: in a process, or alone",
    ),
    "jobtide_worker_timeouts_total": ("counter", "Handlers that ran past their timeout, by type"),
    "jobtide_worker_ends_refused_total": (
        "counter",
        "Results that the server refused to store; their jobs failed",
    ),
    "jobtide_worker_rows_refused_total": (
        "counter",
        "Rows that the server refused to change or that were locked, by what noticed it",
    ),
    "jobtide_worker_unwritten_ends": ("gauge", "Ends of jobs that are not in the table yet"),
    "jobtide_worker_unwritten_seconds": ("gauge", "How long the oldest of them has waited, refused ones left out"),
    "jobtide_worker_claims_paused_total": ("counter", "Times that claims stopped because ends were not written"),
    "jobtide_worker_slots_refused_total": ("counter", "Scheduled jobs that the server refused, by type"),
    "jobtide_worker_database_lost_total": ("counter", "Outages of the database, by what failed"),
}
Label = tuple[str, str]
Labels = tuple[Label, ...]

# Shown as 0 from the start: a counter that begins with its first event hides that event from rate() and increase().
_FROM_ZERO: tuple[tuple[str, Labels], ...] = (
    *(("jobtide_worker_leases_lost_total", (("during", during),)) for during in ("extend", "look", "finish")),
    *(("jobtide_worker_rescued_total", (("why", why),)) for why in ("lease_expired", "own_pod")),
    *(("jobtide_worker_rows_refused_total", (("during", x),)) for x in ("claim", "finish", "extend", "rescue")),
    *(("jobtide_worker_suspects_total", (("how", how),)) for how in ("alone", "in a process")),
    *(("jobtide_worker_database_lost_total", (("doing", doing),)) for doing in ("claim", "finish")),
    ("jobtide_worker_claims_total", ()),
    ("jobtide_worker_claimed_jobs_total", ()),
    ("jobtide_worker_ends_refused_total", ()),
    ("jobtide_worker_claims_paused_total", ()),
)
_OUTCOMES = ("completed", "failed", "retried", "returned", "snoozed")


class Metrics:
    """Subscribes to events, keeps totals, and renders them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, Labels], float] = dict.fromkeys(_FROM_ZERO, 0)
        self._buckets: dict[tuple[str, Labels], list[int]] = {}
        self.running = 0
        self.unwritten = 0
        self.unwritten_seconds = 0.0

    def on_event(self, event: events.Event) -> None:  # noqa: C901, PLR0912 - one flat table of cases
        with self._lock:
            match event:
                case events.Started(types=types):
                    for type_ in types:
                        self._add("jobtide_worker_timeouts_total", ("type", type_), amount=0)
                        for outcome in _OUTCOMES:
                            self._add("jobtide_worker_jobs_total", ("outcome", outcome), ("type", type_), amount=0)
                case events.Claimed(jobs, seconds):
                    self._add("jobtide_worker_claims_total")
                    self._add("jobtide_worker_claimed_jobs_total", amount=len(jobs))
                    self._observe("jobtide_worker_claim_seconds", seconds)
                    for job in jobs:
                        self._observe("jobtide_worker_wait_seconds", job.waited_seconds, ("type", job.type))
                case events.Handled(end, seconds):
                    of_type = ("type", end.job.type)
                    self._add("jobtide_worker_jobs_total", ("outcome", end.reason), of_type)
                    self._observe("jobtide_worker_run_seconds", seconds, of_type)
                case events.Finished(_, seconds):
                    self._observe("jobtide_worker_finish_seconds", seconds)
                case events.LeaseLost(_, during):
                    self._add("jobtide_worker_leases_lost_total", ("during", during))
                case events.RescuedJobs(count, why):
                    self._add("jobtide_worker_rescued_total", ("why", why), amount=count)
                case events.Overdue(job, _):
                    self._add("jobtide_worker_timeouts_total", ("type", job.type))
                case events.RunsApart(_, how):
                    self._add("jobtide_worker_suspects_total", ("how", how))
                case events.EndRefused():
                    self._add("jobtide_worker_ends_refused_total")
                case events.RowLeft(_, during):
                    self._add("jobtide_worker_rows_refused_total", ("during", during))
                case events.ClaimRefused():
                    self._add("jobtide_worker_rows_refused_total", ("during", "claim"))
                case events.ClaimsPaused():
                    self._add("jobtide_worker_claims_paused_total")
                case events.SlotRefused(type_):
                    self._add("jobtide_worker_slots_refused_total", ("type", type_))
                case events.DatabaseLost(doing):
                    self._add("jobtide_worker_database_lost_total", ("doing", doing))
                case (
                    events.TableSlow()
                    | events.LimitsDenied()
                    | events.ListenNotNeeded()
                    | events.DatabaseStillLost()
                    | events.DatabaseBack()
                    | events.Draining()
                    | events.Drained()
                    | events.EndGivenUp()
                    | events.ClaimsResumed()
                    | events.AllStuck()
                ):
                    pass
                case events.LeasesKept():
                    pass  # happens in the keeper's process, which serves no metrics

    def render(self) -> str:
        """The whole exposition, text format 0.0.4."""
        with self._lock:
            self._totals["jobtide_worker_info", (("version", __version__),)] = 1
            self._totals["jobtide_worker_running", ()] = self.running
            self._totals["jobtide_worker_unwritten_ends", ()] = self.unwritten
            self._totals["jobtide_worker_unwritten_seconds", ()] = self.unwritten_seconds
            return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for name, (kind, meaning) in METRICS.items():
            yield f"# HELP {name} {meaning}"
            yield f"# TYPE {name} {kind}"
            for (series, labels), total in sorted(self._totals.items()):
                if series == name:
                    yield (
                        f"{name}{_braces(labels)} {total:g}"
                        if kind != "histogram"
                        else (f"{name}_sum{_braces(labels)} {total:.9g}")
                    )
                    if kind == "histogram":
                        yield from self._bucket_lines(name, labels)

    def _bucket_lines(self, name: str, labels: Labels) -> Iterator[str]:
        below = 0
        for bound, count in zip((*map(str, _SECONDS), "+Inf"), self._buckets[name, labels], strict=True):
            below += count
            yield f"{name}_bucket{_braces((*labels, ('le', bound)))} {below}"
        yield f"{name}_count{_braces(labels)} {below}"

    def _add(self, name: str, *labels: Label, amount: float = 1) -> None:
        """The labels of one name always come in one order."""
        key = (name, labels)
        self._totals[key] = self._totals.get(key, 0) + amount

    def _observe(self, name: str, seconds: float, *labels: Label) -> None:
        key = (name, labels)
        counts = self._buckets.get(key)
        if counts is None:
            self._totals[key], counts = 0, [0] * (len(_SECONDS) + 1)
            self._buckets[key] = counts
        self._totals[key] += seconds
        counts[bisect_left(_SECONDS, seconds)] += 1


def _braces(labels: Iterable[Label]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
