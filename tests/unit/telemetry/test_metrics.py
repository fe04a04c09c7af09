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

from jobtide_controller.api.base import PoolRef
from jobtide_controller.decide.fleet import Fleet
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
from jobtide_controller.telemetry.metrics import DatabaseGauges, GaugeCollector, Metrics
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


def pool_gauges(reading, name="thumbs", notes=()):
    inventory = Inventory(Events())
    inventory.upsert_pool(pool(name))
    decision = Decision(4, Reason.SCALING_UP, (), None, History(), notes=notes)
    entry = inventory.pools.get(f"uid-{name}")
    return gauges(Outcome(entry, reading, Fleet(current_replicas=2), decision, Context()))


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


def test_types_without_a_pool_are_few_series_even_if_a_client_invents_many():
    found = {f"type {number:02}": 100 - number for number in range(50)}
    text = scrape(main=DatabaseGauges(reading(), None, 0, unserved=found))
    lines = [line for line in text.splitlines() if line.startswith("jobtide_unserved_jobs{")]
    assert len(lines) == 11
    assert 'jobtide_unserved_jobs{database="main",type="type 00"} 100.0' in lines
    assert f'jobtide_unserved_jobs{{database="main",type="other"}} {sum(range(51, 91))}.0' in lines
    assert 'type="' not in scrape(main=DatabaseGauges(reading(), None, 0))


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
