from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.metrics import MetricWrapperBase

from jobtide import __version__
from jobtide.table_health import TableHealth
from jobtide_controller.api.base import PoolRef
from jobtide_controller.decide.clamps import Clamp, ClampName
from jobtide_controller.decide.fleet import Fleet, Pod
from jobtide_controller.decide.history import History
from jobtide_controller.decide.reading import Depth, Key, Reading, Unreadable, UnreadableReason
from jobtide_controller.decide.reasons import Note, Reason
from jobtide_controller.decide.scaling import Decision
from jobtide_controller.kube.inventory.store import Inventory
from jobtide_controller.loop.report import Outcome, gauges
from jobtide_controller.render.facts import Context
from jobtide_controller.telemetry import events, logs
from jobtide_controller.telemetry.events import Event
from jobtide_controller.telemetry.health import STUCK_SECONDS, Health
from jobtide_controller.telemetry.metrics import DatabaseGauges, GaugeCollector, Metrics, PoolTrouble
from tests.unit.kube.objects import Clock, Events, pool

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"

SAMPLES = {
    "Mapping[str,": {"x": "y"},
    "str": "x",
    "int": 3,
    "float": 0.5,
    "bool": True,
    "PoolRef": PoolRef("media", "thumbs"),
}


def sample(kind: type) -> Event:
    """Any event of this kind."""
    types = {field.name: str(field.type).split(" ", maxsplit=1)[0] for field in fields(kind)}
    return kind(**{name: SAMPLES.get(type_, ("x",)) for name, type_ in types.items()})


EVENTS = [sample(kind) for kind in get_args(Event) if is_dataclass(kind)]


def pool_gauges(reading, name="thumbs", reason=Reason.SCALING_UP, **more):
    inventory = Inventory(Events())
    inventory.upsert_pool(pool(name, **more.get("spec", {})))
    decision = Decision(4, reason, more.get("limited_by", ()), None, History(), notes=more.get("notes", ()))
    entry = inventory.pools.get(f"uid-{name}")
    return gauges(Outcome(entry, reading, Fleet(current_replicas=2, pods=more.get("pods", ())), decision, Context()))


def scrape(*events, pools=(), **databases):
    metrics = Metrics(GaugeCollector(lambda: pools, databases.items))
    for event in events:
        metrics(event)
    metrics.take_gauges()
    return metrics.text()


def database(reading, connections=None, granted=0):
    return DatabaseGauges(reading, connections, granted)


def reading(**counts):
    return Reading(0.0, {Key("a", tenant): Depth(due=count) for tenant, count in counts.items()})


def test_a_pools_gauges_are_its_last_numbers():
    depth = Depth(due=5, later=2, running=3, oldest_age_seconds=9)
    text = scrape(pools=[pool_gauges(Reading(0.0, {Key("thumbs", "t"): depth}))])
    labels = '{namespace="media",pool="thumbs"}'
    assert f"jobtide_pool_pending{labels} 7.0" in text
    assert f"jobtide_pool_processing{labels} 3.0" in text
    assert f"jobtide_pool_oldest_seconds{labels} 9.0" in text
    assert f"jobtide_pool_desired_replicas{labels} 4.0" in text


def test_the_oldest_job_of_a_pool_is_none_of_a_paused_tenant():
    depths = {Key("thumbs", "paused"): Depth(due=1, oldest_age_seconds=900), Key("thumbs", "t"): Depth(due=1)}
    paused = {"tenants": {"overrides": {"paused": 0}}}
    text = scrape(pools=[pool_gauges(Reading(0.0, depths), spec=paused)])
    assert 'jobtide_pool_oldest_seconds{namespace="media",pool="thumbs"} 0.0' in text


def test_a_pools_promise_is_that_of_each_type_and_none_where_jobs_per_worker_decides():
    typed = {"types": ["thumbs", "video"], "promises": {"video": 600}, "maxWaitSeconds": 30}
    bulk = pool_gauges(reading(t=1), "bulk", spec={"jobsPerWorker": 4})
    text = scrape(pools=[pool_gauges(reading(t=1), spec=typed), bulk])
    found = re.findall(r'promise_seconds\{database="main",namespace="media",pool="(\w+)",type="(\w+)"\} (\S+)', text)
    assert found == [("thumbs", "thumbs", "30.0"), ("thumbs", "video", "600.0"), ("bulk", "bulk", "+Inf")]


def test_the_promise_is_that_of_the_windows_which_are_open():
    inventory = Inventory(Events())
    inventory.upsert_pool(pool("thumbs", maxWaitSeconds=30))
    entry = inventory.pools.get("uid-thumbs")
    open_now = entry.pool.spec.model_copy(update={"max_wait_seconds": 5})
    outcome = Outcome(
        entry, reading(t=1), Fleet(), Decision(0, Reason.STEADY, (), None, History()), Context(), open_now
    )
    assert 'type="thumbs"} 5.0' in scrape(pools=[gauges(outcome)])


def test_types_without_a_pool_are_few_series_even_if_a_client_invents_many():
    found = {f"type {number:02}": 100 - number for number in range(50)}
    text = scrape(main=DatabaseGauges(reading(), None, 0, unserved=found))
    lines = [line for line in text.splitlines() if line.startswith("jobtide_unserved_jobs{")]
    assert len(lines) == 11
    assert 'jobtide_unserved_jobs{database="main",type="type 00"} 100.0' in lines
    assert f'jobtide_unserved_jobs{{database="main",type="other"}} {sum(range(51, 91))}.0' in lines
    assert 'type="' not in scrape(main=DatabaseGauges(reading(), None, 0))


def test_the_health_of_a_table_has_no_series_where_it_is_unknown():
    found = TableHealth(8192, 10, None, None, 50, None, ())
    text = scrape(main=DatabaseGauges(reading(), None, 0, table=found))
    lines = {line.partition("{")[0]: line for line in text.splitlines() if line.startswith("jobtide_table_")}
    assert lines == {
        "jobtide_table_bytes": 'jobtide_table_bytes{database="main"} 8192.0',
        "jobtide_table_live_rows": 'jobtide_table_live_rows{database="main"} 10.0',
        "jobtide_table_oldest_snapshot_seconds": 'jobtide_table_oldest_snapshot_seconds{database="main"} 0.0',
    }
    unreadable = Unreadable(UnreadableReason.TIMEOUT, "late", 0.0)
    assert "jobtide_table_bytes{" not in scrape(main=DatabaseGauges(unreadable, None, 0, table=found))


def test_the_version_is_a_label():
    assert f'jobtide_build_info{{version="{__version__}"}} 1.0' in scrape()


def test_deleted_jobs_are_counted_by_status():
    text = scrape(events.EndedDeleted("main", "failed", 3, 0.02), events.EndedDeleted("main", "failed", 4, 0.02))
    assert 'jobtide_deleted_jobs_total{database="main",status="failed"} 7.0' in text


def test_tenants_are_no_labels_unless_they_are_wanted():
    shown = DatabaseGauges(reading(acme=3), None, 0)
    assert 'tenant="acme"' in scrape(main=shown)
    assert "acme" not in scrape(main=replace(shown, shows_tenants=False))


def test_what_cannot_be_read_has_no_depth_rather_than_none():
    unreadable = Unreadable(UnreadableReason.TIMEOUT, "late", 0.0)
    text = scrape(pools=[pool_gauges(unreadable)], main=database(unreadable))
    assert "jobtide_pool_pending{" not in text
    assert "jobtide_pool_desired_replicas{" in text
    assert 'jobtide_database_readable{database="main",reason="Timeout"} 0.0' in text


def test_only_a_pool_that_does_not_keep_up_has_a_series_of_it():
    late = pool_gauges(reading(t=1), "late", notes=(Note.ALL_FAILING, Note.PROMISE_MISSED))
    text = scrape(pools=[pool_gauges(reading(t=1), "well"), late])
    found = set(re.findall(r'jobtide_pool_behind\{namespace="media",pool="(\w+)",reason="(\w+)"\} 1.0', text))
    assert found == {("late", "AllFailing"), ("late", "PromiseMissed")}


def test_a_paused_pool_is_not_behind():
    paused = pool_gauges(reading(t=1), notes=(Note.PROMISE_MISSED,), reason=Reason.PAUSED)
    assert "jobtide_pool_behind{" not in scrape(pools=[paused])


def test_a_limit_that_keeps_workers_away_says_how_many():
    limits = (Clamp(ClampName.MAX_REPLICAS, 66, 40, 40), Clamp(ClampName.BUSY_WORKERS, 40, 41, 41))
    text = scrape(pools=[pool_gauges(reading(t=1)), pool_gauges(reading(t=1), "capped", limited_by=limits)])
    found = re.findall(r'jobtide_pool_limited_replicas\{limit="(\w+)",namespace="media",pool="(\w+)"\} (\S+)', text)
    assert found == [("MaxReplicas", "capped", "26.0")]


def test_the_first_of_the_stopped_workers_sets_the_deadline():
    pods = [Pod("1", "1", 0.0, terminating=True, gone_by=by) for by in (900.0, 800.0)]
    text = scrape(pools=[pool_gauges(reading()), pool_gauges(reading(), "drains", pods=(Pod("0", "0", 0.0), *pods))])
    name = "jobtide_pool_drain_deadline_timestamp_seconds"
    found = re.findall(rf'^{name}\{{namespace="media",pool="(\w+)"\}} (\S+)', text, re.MULTILINE)
    assert found == [("drains", "800.0")]


def test_a_pool_that_cannot_be_used_has_its_trouble_and_no_numbers():
    trouble = PoolTrouble(PoolRef("media", "thumbs"), "Ready", "InvalidSpec")
    text = scrape(main=DatabaseGauges(reading(), None, 0, troubles=[trouble]))
    labels = 'condition="Ready",namespace="media",pool="thumbs",reason="InvalidSpec"'
    assert f"jobtide_pool_trouble{{{labels}}} 1.0" in text
    assert "jobtide_pool_desired_replicas{" not in text


def test_only_a_database_whose_ended_jobs_go_says_when_they_last_went():
    text = scrape(main=DatabaseGauges(reading(), None, 0, retention_complete_at=9.0), other=database(reading()))
    found = re.findall(r'jobtide_retention_complete_timestamp_seconds\{database="(\w+)"\} (\S+)', text)
    assert found == [("main", "9.0")]


def test_the_first_loss_of_workers_is_an_increase():
    """A counter that begins with its first event hides it from increase()."""
    names = [f'jobtide_{what}_total{{attempt="{attempt}",database="main"}}'
             for what in ("rescued_jobs", "lost_workers") for attempt in ("counted", "given_back")]  # fmt: skip
    found = events.DatabaseFound("main", None)
    lost = [events.Rescued("main", uid, 5, gave_back=False) for uid in "ab"]
    assert [name for name in names if f"{name} 0.0" not in scrape(found)] == []
    text = scrape(found, *lost, events.Rescued("main", "c", 0, gave_back=True))
    assert [f"{name} {total}" in text for name, total in zip(names, ("10.0", "0.0", "2.0", "0.0"), strict=True)] == [
        True
    ] * 4


def test_only_a_database_with_a_budget_has_a_series_of_it():
    text = scrape(main=database(reading(t=1), connections=40, granted=6), other=database(reading(t=1)))
    assert 'jobtide_connection_budget{database="main"} 40.0' in text
    assert 'jobtide_connections_granted{database="main"} 6.0' in text
    assert "other" not in re.findall(r'connection\w+\{database="(\w+)"', text)


def test_a_database_that_was_not_read_yet_has_no_series():
    assert "main" not in scrape(main=database(None))


def test_a_thousand_tenants_are_eleven_series_that_add_up():
    text = scrape(main=database(reading(**{f"t{number:04}": number for number in range(1000)})))
    found = re.findall(r'jobtide_tenant_pending\{database="main",tenant="(\w+)"\} ([\d.]+)', text)
    assert [name for name, _ in found] == [f"t{number:04}" for number in range(999, 989, -1)] + ["other"]
    assert sum(float(count) for _, count in found) == sum(range(1000))


def test_counters_follow_the_events():
    text = scrape(
        events.LeaderChanged(leading=True, why=""),
        events.Decided(PoolRef("m", "p"), "u", 0, 4, "ScalingUp", "", ("ColdStart",)),
        events.Wrote("status", 0.01, 200),
        events.Rescued("main", "uid", 5, gave_back=True),
        events.Ticked("main", 0.002, 7, 3, 0.01),
    )
    for line in (
        "jobtide_leader 1.0",
        'jobtide_decisions_total{reason="ScalingUp"} 1.0',
        'jobtide_limited_decisions_total{limit="ColdStart"} 1.0',
        'jobtide_write_seconds_count{code="200",what="status"} 1.0',
        'jobtide_rescued_jobs_total{attempt="given_back",database="main"} 5.0',
        'jobtide_read_keys{database="main"} 7.0',
    ):
        assert line in text


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_has_a_sentence_and_breaks_no_subscriber(event, caplog):
    caplog.set_level("DEBUG", "jobtide_controller")
    logs.on_event(event)
    Metrics(GaugeCollector(tuple, tuple))(event)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].strip()


def test_every_metric_is_documented_with_its_labels():
    gauges = GaugeCollector(tuple, tuple)
    metrics = Metrics(gauges)
    documented = dict(re.findall(r"^\| `(jobtide_\w+?)` \| ([^|]*)\|", DOCUMENT.read_text(), re.MULTILINE))
    kept = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
    real = {f"{one._name}_total" if one._type == "counter" else one._name: one._labelnames for one in kept}
    real |= {family.name: family._labelnames for family in gauges.collect()}
    assert {name: tuple(filter(None, labels.strip().split(", "))) for name, labels in documented.items()} == {
        name: tuple(labels) for name, labels in real.items()
    }


def health(beats, *, clock, filled=True):
    return Health(lambda: beats, lambda: filled, Metrics(GaugeCollector(tuple, tuple)), monotonic=clock)


def test_health_is_the_age_of_the_last_turn():
    clock = Clock()
    checked = health({"database main": clock.now}, clock=clock)
    clock.pass_(STUCK_SECONDS)
    assert checked.healthz().code == 200
    clock.pass_(1)
    assert checked.healthz().code == 500
    assert "database main for 61 s" in checked.healthz().text


def test_without_pools_there_is_nothing_to_be_stuck():
    assert health({}, clock=Clock()).healthz().code == 200


@pytest.mark.parametrize(("filled", "status"), [(True, 200), (False, 503)])
def test_ready_means_that_the_cluster_is_known(filled, status):
    assert health({}, clock=Clock(), filled=filled).readyz().code == status


async def served(checked):
    server, port = await checked.serve(0)

    def get(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.read().decode()

    return server, get


async def test_scrape_shows_what_the_loop_remembers_now():
    pools = [pool_gauges(reading(acme=3))]
    checked = Health(dict, lambda: True, Metrics(GaugeCollector(lambda: pools, tuple)), monotonic=Clock())
    server, get = await served(checked)
    assert 'jobtide_pool_pending{namespace="media",pool="thumbs"} 3.0' in await asyncio.to_thread(get, "/metrics")
    await asyncio.to_thread(server.close)


async def test_probe_is_answered_while_the_loop_is_busy():
    server, get = await served(health({}, clock=Clock()))
    with ThreadPoolExecutor(1) as threads:
        probe = threads.submit(get, "/readyz")
        assert probe.result(10) == "ok\n"  # the event loop waits here, and does nothing else
    await asyncio.to_thread(server.close)


async def test_documents_are_made_in_the_loop():
    running = []

    def document():
        running.append(asyncio.get_running_loop())
        return {"kind": "List"}

    checked = Health(
        dict, lambda: True, Metrics(GaugeCollector(tuple, tuple)), monotonic=Clock(), documents={"/pools": document}
    )
    server, get = await served(checked)
    assert json.loads(await asyncio.to_thread(get, "/pools")) == {"kind": "List"}
    assert running == [asyncio.get_running_loop()]
    await asyncio.to_thread(server.close)


def test_names_of_databases_that_users_invent_make_no_series_that_stay():
    lost = [events.DatabaseLost(f"invented-{n}", UnreadableReason.NOT_CONFIGURED, "no such database") for n in range(9)]
    assert "invented" not in scrape(*lost)
    known = events.DatabaseLost("main", UnreadableReason.UNREACHABLE, "refused")
    assert 'jobtide_database_losses_total{database="main",reason="Unreachable"} 1.0' in scrape(known)
