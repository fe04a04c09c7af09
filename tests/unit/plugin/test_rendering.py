"""`why` and `top` as a user reads them: one text file for each situation; the printed numbers are consistent."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings

from jobtide_controller.api.v1alpha1 import JobWorkerPool, JobWorkerPoolStatus
from jobtide_controller.decide.clamps import ClampName
from jobtide_controller.decide.fleet import Share
from jobtide_controller.decide.limits import ALL_TYPES, Limit
from jobtide_controller.decide.reading import Depth, Key, Unreadable, UnreadableReason
from jobtide_controller.decide.reasons import Note, Reason
from jobtide_controller.decide.unserved import UnservedType
from jobtide_controller.plugin import top, why
from jobtide_controller.render import status
from jobtide_controller.render.facts import Context, Overlap
from tests.unit.decide.builders import NOW, fleet, pool, worlds
from tests.unit.plugin.pools import ACME, DEPTHS, GLOBEX, LATER, REFUSED, reported

EXPECTED = Path(__file__).parent / "expected"
SCALING_UP = reported(DEPTHS, fleet(24, busy=23), tenants={"overrides": {GLOBEX: 4}})

POOLS = {
    "scaling-up": SCALING_UP,
    "idle": reported({}, fleet(0)),
    "unreadable": reported(REFUSED, fleet(24), before=SCALING_UP, at=NOW + 60),
    "never-read": reported(REFUSED, fleet(2)),
    "pinned": reported(DEPTHS, fleet(3, busy=3), replicas=2),
    "paused": reported(DEPTHS, fleet(3), paused=True, pausedUntil="2030-01-01T00:00:00Z"),
    "jobs-per-worker": reported(DEPTHS, fleet(3), jobsPerWorker=50),
    "promises": reported(
        {**DEPTHS, Key("thumbs", GLOBEX): Depth(due=1, oldest_age_seconds=9)},
        fleet(24, busy=23),
        types=["thumbs", "video", "mail"],
        promises={"thumbs": 30, "video": 600},
    ),
    "limits": reported(
        DEPTHS,
        fleet(24, busy=23),
        tenants={"overrides": {GLOBEX: 4}},
        shared={
            Key("video", GLOBEX): Limit(0, until=NOW + 86_400),
            Key("thumbs", ACME): Limit(100, weight=2),
            Key(ALL_TYPES, ACME): Limit(None, weight=3, until=NOW + 3_600),
        },
    ),
    "connections": reported(DEPTHS, fleet(6, busy=6), share=Share(6, connections=2, budget=80)),
    "conflict": reported({}, fleet(0), context=Context(conflict='Deployment "thumbs-worker" belongs to Helm')),
    "not-allowed": reported(
        Unreadable(UnreadableReason.NOT_ALLOWED, 'spec.database "main" may not be used from namespace elsewhere', NOW),
        fleet(2),
    ),
    "unreported": pool(),
    "windows": reported(
        DEPTHS,
        fleet(5, busy=5),
        schedules=[
            {"name": "day", "cron": "0 7 * * mon-fri", "durationSeconds": 36_000, "minReplicas": 2, "maxReplicas": 30},
            {"name": "backup", "cron": "30 7 * * *", "durationSeconds": 3_600, "maxReplicas": 5},
            {"name": "night", "cron": "0 22 * * *", "durationSeconds": 28_800, "maxWaitSeconds": 3_600},
        ],
    ),
    "windows-none-open": reported(
        {},
        fleet(0),
        schedules=[{"name": "night", "cron": "0 22 * * *", "durationSeconds": 28_800, "maxWaitSeconds": 3_600}],
    ),
}


@pytest.mark.parametrize("name", POOLS)
def test_why_is_what_a_user_reads(name):
    assert why.render(POOLS[name], LATER + 60) + "\n" == (EXPECTED / f"why-{name}.txt").read_text()


@pytest.mark.parametrize(
    ("fields", "promises"),
    [
        pytest.param({"maxWaitSeconds": 90}, ["1m30s", "1m30s"], id="the pool's"),
        pytest.param({"promises": {"video": 600}}, ["1m", "10m"], id="its own, and the pool's"),
        pytest.param({"jobsPerWorker": 5}, ["-", "-"], id="no time is promised"),
        pytest.param(
            {"schedules": [{"name": "w", "cron": "0 7 * * *", "durationSeconds": 7_200, "maxWaitSeconds": 3_600}]},
            ["1h", "1h"],
            id="that of the window that is open",
        ),
        pytest.param(
            {"schedules": [{"name": "w", "cron": "0 9 * * *", "durationSeconds": 7_200, "maxWaitSeconds": 3_600}]},
            ["1m", "1m"],
            id="not that of a window that is closed",
        ),
    ],
)
def test_top_shows_the_promise_of_each_type(fields, promises):
    head, *lines = top.render([reported(DEPTHS, fleet(1), **fields)], LATER, namespaces=False).splitlines()
    place = head.split().index("PROMISE")
    assert [line.split()[place] for line in lines[:2]] == promises


def test_no_type_is_late_by_the_jobs_of_a_paused_tenant():
    paused = {"tenants": {"overrides": {GLOBEX: 0}}, "promises": {"thumbs": 30}}
    depths = {Key("thumbs", GLOBEX): Depth(due=3, oldest_age_seconds=900)}
    text = why.render(reported(depths, fleet(0), **paused), LATER)
    assert "LATE" not in text
    assert "KeepingUp" not in text


@pytest.mark.parametrize("name", ClampName)
def test_every_limit_is_documented(name):
    page = (Path(__file__).parents[3] / "docs" / "explain.md").read_text()
    assert re.search(rf"^\| .*\b{name}\b.* \|", page, re.MULTILINE)


@pytest.mark.parametrize("word", sorted({*Reason, *Note, *UnreadableReason}))
def test_every_reason_of_a_status_is_documented(word):
    page = (Path(__file__).parents[3] / "docs" / "explain.md").read_text()
    assert re.search(rf"\b{word}\b", page[page.index("## Conditions") :])


@pytest.mark.parametrize("condition", POOLS["idle"].status.conditions, ids=lambda condition: condition.type)
def test_every_condition_is_documented(condition):
    page = (Path(__file__).parents[3] / "docs" / "explain.md").read_text()
    assert re.search(rf"^\| {condition.type}\b", page, re.MULTILINE)


def test_top_names_types_without_a_pool_once_for_a_namespace():
    found = (UnservedType("vidoe", 1_000, 250.0), UnservedType("\x1b[2Jmail", 2, 61.0))
    shown = [reported(DEPTHS, fleet(3), context=Context(unserved=found)), POOLS["idle"]]
    lines = top.render(shown, LATER, namespaces=False).split("\n\n")[2].splitlines()
    assert lines == [
        "DATABASE  TYPE WITHOUT A POOL  PENDING  OLDEST",
        "main      vidoe                 1,000+   4m10s",
        r"main      \x1b[2Jmail                2    1m1s",
    ]


def test_top_is_what_a_user_reads():
    shown = [POOLS[name] for name in ("scaling-up", "promises", "limits", "unreadable", "never-read", "unreported")]
    assert top.render(shown, LATER + 60, namespaces=True) + "\n" == (EXPECTED / "top.txt").read_text()


@pytest.mark.parametrize(
    ("namespace", "words"),
    [
        ("media", "no pools in namespace media; -n chooses another one, -A shows all"),
        (None, "no pools in any namespace"),
    ],
)
def test_top_without_pools_says_where_it_looked(namespace, words):
    assert top.no_pools(namespace) == words


@pytest.mark.slow
@given(worlds())
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_the_printed_expressions_give_the_number_of_workers(world):
    given_pool = pool().model_copy(update={"spec": world.policy})
    decision = world.decide()
    rendered = status.render(given_pool, world.reading, world.fleet, decision, Context(), None, world.now)
    text = why.render(_with(given_pool, rendered), world.now)
    assert _recomputed(text) == decision.replicas == rendered["desiredReplicas"]


def test_a_status_without_numbers_is_explained_by_its_last_change():
    old = SCALING_UP.status.model_copy(update={"numbers": {}, "limits": ()})
    text = why.render(SCALING_UP.model_copy(update={"status": old}), LATER)
    assert text == why.render(SCALING_UP, LATER)


def test_an_edit_that_the_controller_has_not_seen_yet_is_shown():
    edited = replace_generation(SCALING_UP, 4)
    assert "the pool was edited since (generation 4): what follows is for generation 3" in why.render(edited, LATER)


def replace_generation(given_pool: JobWorkerPool, generation: int) -> JobWorkerPool:
    metadata = given_pool.metadata.model_copy(update={"generation": generation})
    return given_pool.model_copy(update={"metadata": metadata})


def test_a_limit_of_a_newer_release_is_shown_by_its_name():
    clamp = replace_name(SCALING_UP, "Moonphase")
    assert re.search(r"-> 40  Moonphase +40", why.render(clamp, LATER))


def replace_name(given_pool: JobWorkerPool, name: str) -> JobWorkerPool:
    limits = tuple(limit.model_copy(update={"name": name}) for limit in given_pool.status.limits)
    return given_pool.model_copy(update={"status": given_pool.status.model_copy(update={"limits": limits})})


def test_nothing_is_said_of_tenants_where_the_chart_does_not_show_them():
    hidden = reported(DEPTHS, fleet(0), context=Context(shows_tenants=False))
    assert "\ntenants" not in why.render(hidden, LATER)
    assert "more tenants" not in top.render([hidden], LATER, namespaces=False)
    assert ", 2 tenants, " in why.render(hidden, LATER)


def test_tenants_that_are_not_shown_are_counted():
    many = {replace_tenant(key, number): depth for number in range(12) for key, depth in DEPTHS.items()}
    crowded = reported(many, fleet(0))
    assert "and 19 more" in why.render(crowded, LATER)
    assert "thumbs: 14 more tenants" in top.render([crowded], LATER, namespaces=False)


def replace_tenant(key, number):
    return key._replace(tenant_id=f"{key.tenant_id}-{number}")


def _with(given_pool: JobWorkerPool, rendered: dict) -> JobWorkerPool:
    return given_pool.model_copy(update={"status": JobWorkerPoolStatus.model_validate(rendered)})


def _recomputed(text: str) -> int:
    """As a user with a calculator computes it."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("law"))
    end = next(number for number, line in enumerate(lines) if line.startswith("limits"))
    values = []
    for line in lines[start + 1 : end - 1]:
        matched = re.match(r" +\w+ +([\w(),/+. ]+?) += (\d+)", line)
        assert matched, line
        value = eval(matched[1], {"ceil": math.ceil, "min": min, "max": max})
        assert value == int(matched[2]), line
        values.append(value)
    workers = max(values)
    assert lines[end - 1].strip() == f"= {workers}"
    for before, after in re.findall(r"(\d+) -> (\d+) ", text.split("\nlimits")[1].split("\ndesired", maxsplit=1)[0]):
        assert int(before) == workers
        workers = int(after)
    return workers


HOSTILE = "a\x1b[2J\n\u202eb"


def test_no_text_of_a_pool_acts_on_the_terminal():
    depths = {Key(HOSTILE, HOSTILE): Depth(due=3)}
    context = Context(conflict=HOSTILE, overlaps=(Overlap(HOSTILE, ("media/x",)),))
    given_pool = reported(depths, fleet(1), context=context, types=[HOSTILE])
    for text in (why.render(given_pool, NOW), top.render([given_pool], NOW, namespaces=True)):
        assert all(line.isprintable() for line in text.split("\n"))
        assert r"a\x1b[2J\n\u202eb" in text


@pytest.mark.parametrize(
    ("tenants", "shown"),
    [
        pytest.param({"overrides": {GLOBEX: 0}}, "paused", id="paused"),
        pytest.param({"maxConcurrent": 4}, "at its cap of 4", id="at its cap"),
        pytest.param({"maxConcurrent": 9}, "cap 9", id="below its cap"),
        pytest.param({"limits": {GLOBEX: {"weight": 3}}}, "weight 3", id="a weight"),
        pytest.param(
            {"limits": {GLOBEX: {"maxConcurrent": 0, "until": "2027-01-15T08:30:00Z"}}},
            "paused until 2027-01-15 08:30:00Z",
            id="paused for a time",
        ),
        pytest.param(
            {"maxConcurrent": 9, "limits": {GLOBEX: {"weight": 2, "until": "2027-01-15T08:30:00Z"}}},
            "cap 9, weight 2 until 2027-01-15 08:30:00Z",
            id="both",
        ),
    ],
)
def test_a_tenants_limit_weight_and_end_are_shown(tenants, shown):
    one = reported({Key("thumbs", GLOBEX): Depth(due=12, running=4)}, fleet(1, busy=1), tenants=tenants)
    (line,) = [line for line in why.render(one, LATER).splitlines() if GLOBEX in line]
    assert line.endswith(f"  {shown}")
    (line,) = [line for line in top.render([one], LATER, namespaces=False).splitlines() if GLOBEX in line]
    assert line.endswith(f"  {shown}")
