"""The alerts of the chart: what fires each of them, and what is near it and must not."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from dev.generate.alerts import ALERT_NAMES, alerts
from dev.tools.toolchain import ensure_tools

POOL = {"namespace": "media", "pool": "thumbs"}
MAIN = {"database": "main"}
LEADS = {'jobtide_leader{namespace="queue",instance="a"}': "1x1000"}


def series(name: str, **labels: str) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{inside}}}"


def of_pool(name: str, **labels: str) -> str:
    return series(name, **POOL, instance="a", **labels)


def trouble(condition: str, reason: str) -> str:
    return of_pool("jobtide_pool_trouble", condition=condition, reason=reason)


def limit(name: str) -> str:
    return of_pool("jobtide_pool_limited_replicas", limit=name)


@dataclass(frozen=True, slots=True)
class Case:
    """Series, and what fires then."""

    at: str
    series: dict[str, str]
    alert: str | None = None  # None: nothing fires
    labels: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    description: str = ""
    leader: dict[str, str] = field(default_factory=lambda: LEADS)
    every: str = "30s"  # between two samples


PENDING, OLDEST = of_pool("jobtide_pool_pending"), of_pool("jobtide_pool_oldest_seconds")
DESIRED, READY = of_pool("jobtide_pool_desired_replicas"), of_pool("jobtide_pool_ready_replicas")
READ_SUM, READ_COUNT = series("jobtide_read_seconds_sum", **MAIN), series("jobtide_read_seconds_count", **MAIN)
READABLE = series("jobtide_database_readable", **MAIN, reason="")
LOST = series("jobtide_lost_workers_total", **MAIN, attempt="counted")
DELETED = series("jobtide_lost_workers_total", **MAIN, attempt="given_back")
RESCUED = series("jobtide_rescued_jobs_total", **MAIN, attempt="counted")
WORKER_RESCUED = of_pool("jobtide_worker_rescued_total", why="own_pod", pod="w1")
UNWRITTEN, WAITED = (of_pool(f"jobtide_worker_unwritten_{what}", pod="w1") for what in ("ends", "seconds"))
LEASES = of_pool("jobtide_worker_leases_lost_total", pod="w1", during="extend")
ROWS, ENDS = (of_pool(f"jobtide_worker_{what}_refused_total", pod="w1") for what in ("rows", "ends"))
UNSERVED = series("jobtide_unserved_jobs", **MAIN, type="faces")
DEADLINE = of_pool("jobtide_pool_drain_deadline_timestamp_seconds")
COMPLETE = series("jobtide_retention_complete_timestamp_seconds", **MAIN)
SNAPSHOT, DEAD, LIVE = (
    series(f"jobtide_table_{what}", **MAIN) for what in ("oldest_snapshot_seconds", "dead_rows", "live_rows")
)
A, B = (series("jobtide_leader", namespace="queue", instance=name) for name in "ab")
DESIRED_BY_B = series("jobtide_pool_desired_replicas", **POOL, instance="b", job="two-metrics")


def of_release(name: str, instance: str) -> str:
    """As the chart's ServiceMonitor labels it."""
    return series("jobtide_leader", namespace="queue", instance=instance, job=f"{name}-metrics")


FIRES = {
    "jobs start late": Case(
        "10m", {OLDEST: "90x40", trouble("KeepingUp", "PromiseMissed"): "1x40"},
        "JobtidePromiseMissed", POOL, "Jobs of media/thumbs start later than promised",
        "The oldest due job has waited 1m 30s. `kubectl jobtide why` names what keeps workers away.",
    ),
    "every attempt fails": Case(
        "5m", {PENDING: "1200x40", trouble("KeepingUp", "AllFailing"): "1x40"},
        "JobtideAllAttemptsFailing", POOL, "Every attempt of media/thumbs fails",
        "No job that was seen to end has succeeded, and 1.2k jobs wait. "
        "They use up their attempts, and then fail for good.",
    ),
    "a database can't be read, for one reason and then another": Case(
        "3m",
        {
            series("jobtide_database_readable", **MAIN, reason="Unreachable"): "0x2 stale",
            series("jobtide_database_readable", **MAIN, reason="Timeout"): "_ _ _ 0x20",
        },
        "JobtideDatabaseUnreadable", MAIN, "The database main can't be read (Timeout)",
        "Its pools keep their number of workers until it can be read again. Jobs that run go on.",
    ),
    "a database can't be read, and that of another release with its name can": Case(
        "3m",
        {
            series("jobtide_database_readable", **MAIN, namespace="queue", reason="Timeout"): "0x20",
            series("jobtide_database_readable", **MAIN, namespace="other", reason=""): "1x20",
            series("jobtide_database_readable", **MAIN, namespace="third", reason="DatabaseNotConfigured"): "0x20",
        },
        "JobtideDatabaseUnreadable", MAIN | {"namespace": "queue"}, "The database main can't be read (Timeout)",
        "Its pools keep their number of workers until it can be read again. Jobs that run go on.",
    ),
    "no reading, and another release reads its database of the same name": Case(
        "10m",
        {
            series("jobtide_read_seconds_count", **MAIN, namespace="queue"): "500x60",
            series("jobtide_read_seconds_count", **MAIN, namespace="other"): "0+30x60",
            series("jobtide_database_readable", **MAIN, namespace="queue", reason=""): "1x60",
            series("jobtide_database_readable", **MAIN, namespace="other", reason=""): "1x60",
        },
        "JobtideReadingStale", MAIN | {"namespace": "queue"}, "The database main has not been read for 5m 0s",
        "The controller leads, and neither reads nor reports a failure. Its pools do not scale.",
    ),
    "readings take a second": Case(
        "20m", {READ_SUM: "0+30x60", READ_COUNT: "0+30x60"},
        "JobtideReadingSlow", MAIN, "A reading of main takes 1s",
        "The controller reads less often, to stay below 5 % of one database core, so pools react later.",
    ),
    "no reading, and no failure": Case(
        "10m", {READ_COUNT: "500x60", READABLE: "1x60"},
        "JobtideReadingStale", MAIN, "The database main has not been read for 5m 0s",
        "The controller leads, and neither reads nor reports a failure. Its pools do not scale.",
    ),
    "no controller is scraped": Case(
        "5m", {},
        "JobtideNoLeader", {"namespace": "queue"}, "No Jobtide controller acts in queue",
        "Prometheus scrapes no controller. Workers go on, and nothing is scaled.",
        leader={},
    ),
    "two controllers, and none leads": Case(
        "5m", {},
        "JobtideNoLeader", {"namespace": "queue"}, "No Jobtide controller acts in queue",
        "2 controllers are scraped, and none has the lease. Workers go on, and nothing is scaled.",
        leader={A: "0x20", B: "0x20"},
    ),
    "two controllers lead": Case(
        "5m", {},
        "JobtideTwoLeaders", {"namespace": "queue"}, "2 Jobtide controllers say that they lead the same pools",
        "Only one of them may write. The lease says which.",
        leader={A: "1x20", B: "1x20"},
    ),
    "two releases in one namespace, and none leads in one of them": Case(
        "5m", {},
        "JobtideNoLeader", {"namespace": "queue", "job": "two-metrics"}, "No Jobtide controller acts in queue",
        "1 controllers are scraped, and none has the lease. Workers go on, and nothing is scaled.",
        leader={of_release("one", "a"): "1x20", of_release("two", "b"): "0x20"},
    ),
    "two controllers of one of two releases lead": Case(
        "5m", {},
        "JobtideTwoLeaders", {"namespace": "queue", "job": "two-metrics"},
        "2 Jobtide controllers say that they lead the same pools",
        "Only one of them may write. The lease says which.",
        leader={of_release("one", "a"): "1x20", of_release("two", "b"): "1x20", of_release("two", "c"): "1x20"},
    ),
    "two releases that watch the same pools": Case(
        "5m", {of_pool("jobtide_pool_desired_replicas", job="one-metrics"): "1x20", DESIRED_BY_B: "1x20"},
        "JobtideTwoLeaders", {"namespace": "queue"}, "2 Jobtide controllers say that they lead the same pools",
        "Only one of them may write. The lease says which.",
        leader={of_release("one", "a"): "1x20", of_release("two", "b"): "1x20"},
    ),
    "the API server refuses a pool's Deployment": Case(
        "10m", {trouble("Ready", "ApplyFailed"): "1x40"},
        "JobtidePoolNotReady", POOL, "The pool media/thumbs is not Ready (ApplyFailed)",
        "Its workers stay as they are. `kubectl jobtide why` has the message with what to do.",
    ),
    "a spec that can't be used is one alert": Case(
        "20m", {trouble("Ready", "InvalidSpec"): "1x60", trouble("Stalled", "InvalidSpec"): "1x60"},
        "JobtidePoolNotReady", POOL, "The pool media/thumbs is not Ready (InvalidSpec)",
        "Its workers stay as they are. `kubectl jobtide why` has the message with what to do.",
    ),
    "a pool names a database that the chart does not have": Case(
        "10m",
        {
            trouble("Ready", "DatabaseNotConfigured"): "1x40",
            trouble("DatabaseReachable", "DatabaseNotConfigured"): "1x40",
            series("jobtide_database_readable", database="invented", reason="DatabaseNotConfigured"): "0x40",
        },
        "JobtidePoolNotReady", POOL, "The pool media/thumbs is not Ready (DatabaseNotConfigured)",
        "Its workers stay as they are. `kubectl jobtide why` has the message with what to do.",
    ),
    "a rollout whose new workers crash": Case(
        "20m", {DESIRED: "5x60", READY: "6x60", trouble("Stalled", "CrashLoop"): "1x60"},
        "JobtidePoolStalled", POOL, "Workers of media/thumbs do not start, 0 are missing (CrashLoop)",
        "Kubernetes does not start them, or they do not become ready. "
        "`kubectl jobtide why` names the pod and the cause.",
    ),
    "an image can't be pulled": Case(
        "20m", {DESIRED: "5x60", READY: "2x60", trouble("Stalled", "ImagePull"): "1x60"},
        "JobtidePoolStalled", POOL, "Workers of media/thumbs do not start, 3 are missing (ImagePull)",
        "Kubernetes does not start them, or they do not become ready. "
        "`kubectl jobtide why` names the pod and the cause.",
    ),
    "at maxReplicas with more jobs than before": Case(
        "40m", {PENDING: "100+10x100", limit("MaxReplicas"): "26x100"},
        "JobtideBacklogGrowsAtMax", POOL, "900 jobs wait for media/thumbs, which is at its maxReplicas",
        "There are no fewer of them than 15m 0s ago.",
    ),
    "as many jobs as can be counted, at maxReplicas": Case(
        "40m", {PENDING: "10000x100", limit("MaxReplicas"): "26x100"},
        "JobtideBacklogGrowsAtMax", POOL, "10k jobs wait for media/thumbs, which is at its maxReplicas",
        "There are no fewer of them than 15m 0s ago.",
    ),
    "no connections for more workers": Case(
        "20m", {limit("ConnectionBudget"): "3x60"},
        "JobtideCappedByConnections", POOL, "media/thumbs lacks database connections for 3 workers",
        "The pools of its database have used up the connectionBudget.",
    ),
    "workers crash with jobs": Case(
        "15m", {LOST: "0x10 4x30", DELETED: "0x10 1x30"},
        "JobtideBusyWorkersLost", MAIN, "5 workers of main were lost with jobs in 15m 0s",
        "They crashed, or were deleted and did not end in time. Their jobs are back in the queue.",
    ),
    "many jobs are rescued by the controller": Case(
        "10m", {RESCUED: "0x10 150x30"},
        "JobtideRescuesInABurst", MAIN, "150 jobs of main were taken from lost workers in 10m 0s",
        "Each of them runs again. A job that is the cause of the loss takes others along.",
    ),
    "many jobs are rescued by the pod's next process": Case(
        "10m", {WORKER_RESCUED: "0x10 150x30"},
        "JobtideRescuesInABurst", POOL, "150 jobs of media/thumbs were taken from lost workers in 10m 0s",
        "Each of them runs again. A job that is the cause of the loss takes others along.",
    ),
    "ends can't be written": Case(
        "5m", {UNWRITTEN: "12x20", WAITED: "0+30x20"},
        "JobtideEndsNotWritten", POOL, "The ends of 12 jobs of media/thumbs are not written",
        "The oldest has waited for more than 30s. These workers claim no jobs until then.",
    ),
    "leases expire": Case(
        "10m", {LEASES: "0x5 10x30"},
        "JobtideLeasesLost", POOL, "Workers of media/thumbs lost 10 jobs in 10m 0s",
        "These jobs were taken from workers that ran them, so that they run twice, or were cancelled.",
    ),
    "the server refuses rows": Case(
        "15m", {ROWS: "0x5 2x30", ENDS: "0x40"},
        "JobtideRowsRefused", POOL, "The server refused 2 rows of media/thumbs in 15m 0s",
        "A constraint, a trigger, a policy or a lock stops workers from changing them. "
        "The workers' logs have the server's words.",
    ),
    "a type without a pool": Case(
        "10m", {UNSERVED: "40x30"},
        "JobtideTypeUnserved", MAIN | {"type": "faces"}, "No pool handles 40 jobs of type faces in main",
        "They wait until a pool has the type, or its controller is back.",
    ),
    "a stopped worker is still there": Case(
        "10m", {DEADLINE: "60x40"},
        "JobtideDrainOverTime", POOL, "A worker of media/thumbs should be gone since 9m 0s",
        "Its grace period is over, and its pod is still there. It holds its connections, and perhaps jobs.",
    ),
    "ended jobs are not deleted": Case(
        "7h", {COMPLETE: "0x90"},
        "JobtideRetentionBehind", MAIN, "Ended jobs of main stay too long",
        "No pass over them came to its end for 7h 0m 0s. The table grows.",
        every="5m",
    ),
    "a transaction stays open": Case(
        "10m", {SNAPSHOT: "7200x40"},
        "JobtideOldSnapshot", MAIN, "A snapshot of main is 2h 0m 0s old",
        "Vacuum can't remove rows of job_queue that are newer than it, so claims and readings become slower.",
    ),
    "vacuum does not keep up": Case(
        "20m", {DEAD: "2000000x60", LIVE: "1000x60"},
        "JobtideDeadRows", MAIN, "job_queue of main has 2M dead rows",
        "They are more than 1 times the live ones. Autovacuum is off, too slow, or held back.",
    ),
}  # fmt: skip

SILENT = {
    "jobs are late for four minutes": Case(
        "10m", {OLDEST: "90x40", trouble("KeepingUp", "PromiseMissed"): "1x7 stale"}
    ),
    "a paused pool's jobs are old": Case("20m", {OLDEST: "9000x60", limit("Paused"): "4x60"}),
    "a pool without a promise has old jobs": Case("20m", {OLDEST: "9000x60"}),
    "attempts fail for a minute": Case("5m", {PENDING: "9x40", trouble("KeepingUp", "AllFailing"): "1x2 stale"}),
    "a database is away for a minute": Case(
        "2m", {series("jobtide_database_readable", **MAIN, reason="Unreachable"): "0x2 stale", READABLE: "_ _ _ 1x9"}
    ),
    "a new leader has not read yet": Case("10m", {READABLE: "1x4 stale", READ_COUNT: "500x40"}),
    "readings take a tenth of a second": Case("20m", {READ_SUM: "0+3x60", READ_COUNT: "0+30x60", READABLE: "1x60"}),
    "nothing was read": Case("20m", {READ_SUM: "9x60", READ_COUNT: "9x60"}),
    "the other controller reads": Case(
        "10m",
        {
            series("jobtide_read_seconds_count", **MAIN, instance="a"): "500x60",
            series("jobtide_read_seconds_count", **MAIN, instance="b"): "0+30x60",
            READABLE: "1x60",
        },
    ),
    "the lease is free for two minutes": Case("10m", {}, leader={A: "1x9 0x40", B: "0x13 1x40"}),
    "a scrape sees both at a handover": Case("10m", {}, leader={A: "1x10 0x40", B: "0x9 1x40"}),
    "two releases in one namespace with pools of their own": Case(
        "10m",
        {
            DESIRED_BY_B: "1x40",
            series("jobtide_pool_desired_replicas", namespace="crm", pool="mails", instance="a"): "1x40",
        },
        leader={of_release("one", "a"): "1x40", of_release("two", "b"): "1x40"},
    ),
    "a pool's numbers move to another controller": Case(
        "10m", {DESIRED: "1x10 stale", DESIRED_BY_B: "_x10 1x40"}, leader={A: "1x10 0x40", B: "0x10 1x40"}
    ),
    "a leader that is scraped twice": Case(
        "10m",
        {},
        leader={
            series("jobtide_leader", namespace="queue", instance="a", job=job): "1x40" for job in ("service", "pods")
        },
    ),
    "another release leads too": Case(
        "10m", {}, leader=LEADS | {series("jobtide_leader", namespace="other", instance="b"): "1x40"}
    ),
    "a pool is not ready for four minutes": Case("10m", {trouble("Ready", "ApplyFailed"): "1x7 stale"}),
    "a pool is not ready because of its database": Case(
        "20m", {trouble("Ready", "Timeout"): "1x60", trouble("DatabaseReachable", "Timeout"): "1x60"}
    ),
    "an index is missing": Case("20m", {trouble("SchemaReady", "IndexMissing"): "1x60"}),
    "workers start slowly": Case("20m", {DESIRED: "5x60", READY: "2x60"}),
    "at maxReplicas with fewer jobs than before": Case("40m", {PENDING: "2000-10x100", limit("MaxReplicas"): "26x100"}),
    "more jobs, and more workers": Case("40m", {PENDING: "100+10x100"}),
    "a pinned pool that would be at maxReplicas": Case(
        "40m", {PENDING: "9x100", limit("MaxReplicas"): "9x100", limit("Pinned"): "4x100"}
    ),
    "at maxReplicas without a job": Case("40m", {PENDING: "0x100", limit("MaxReplicas"): "1x100"}),
    "a paused pool at maxReplicas": Case(
        "40m", {PENDING: "9x100", limit("MaxReplicas"): "9x100", limit("Paused"): "4x100"}
    ),
    "capped by connections for ten minutes": Case("20m", {limit("ConnectionBudget"): "3x20 stale"}),
    "two workers crash": Case("15m", {LOST: "0x10 2x30"}),
    "a controller restarts after losses": Case("15m", {LOST: "7x10 0x30", RESCUED: "700x10 0x30"}),
    "some jobs are rescued": Case("10m", {RESCUED: "0x10 80x30", WORKER_RESCUED: "0x10 80x30"}),
    "a busy worker has ends on their way": Case("10m", {UNWRITTEN: "40x30", WAITED: "0.02x30"}),
    "ends wait during a failover": Case("5m", {UNWRITTEN: "12x20", WAITED: "0 30 45 0x20"}),
    "an operator cancels some jobs": Case("10m", {LEASES: "0x5 3x30"}),
    "no row is refused": Case("15m", {ROWS: "0x40", ENDS: "0x40"}),
    "a worker's counters restart": Case("15m", {ROWS: "5x5 0x40", ENDS: "1x5 0x40", LEASES: "9x5 0x40"}),
    "a type without a pool for four minutes": Case("10m", {UNSERVED: "40x7 stale"}),
    "a worker ends its last job": Case("10m", {DEADLINE: "900x40"}),
    "a pass over millions of ended jobs takes five hours": Case("5h", {COMPLETE: "0x90"}, every="5m"),
    "a report runs for half an hour": Case("10m", {SNAPSHOT: "1800x40"}),
    "a large table has some dead rows": Case("20m", {DEAD: "200000x60", LIVE: "3000000x60"}),
    "a small table has dead rows": Case("20m", {DEAD: "50000x60", LIVE: "10x60"}),
    "a table whose rows are not counted": Case("20m", {DEAD: "2000000x60"}),
}


CASES = FIRES | SILENT


@pytest.fixture(scope="session")
def folder(helms, tmp_path_factory):
    """A folder with the rules, and a test of promtool for each case."""
    made = tmp_path_factory.mktemp("rules")
    rules = helms["helm"].render({}).one("PrometheusRule")["spec"]
    (made / "rules.yaml").write_text(yaml.safe_dump(rules))
    for number, case in enumerate(CASES.values()):
        (made / f"case-{number}.yaml").write_text(yaml.safe_dump(a_test(case), width=1_000))
    return made


@pytest.fixture(scope="session")
def promtool(folder):
    """promtool(words): its exit code and output, in that folder."""
    program = ensure_tools("promtool")["promtool"]

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def verdicts(promtool):
    """What promtool says of each case, from one run: it starts slowly."""
    _, output = promtool("test", "rules", *(f"case-{number}.yaml" for number in range(len(CASES))))
    first, *parts = output.split("Processing test file: ")
    assert (first, len(parts)) == ("", len(CASES)), output
    return dict(zip(CASES, parts, strict=True))


@pytest.fixture
def rules(helm):
    return helm.render({}).one("PrometheusRule")["spec"]


def a_test(case: Case) -> dict[str, Any]:
    """promtool's test of one case: the alert word for word, and that no other one fires."""
    expected = ""
    tests: list[dict[str, Any]] = []
    if case.alert is not None:
        severity = getattr(alerts()(), case.alert).severity
        annotations = {
            "summary": case.summary,
            "description": case.description,
            "runbook_url": f"https://github.com/jobtide/jobtide/blob/main/docs/runbooks/{case.alert}.md",
        }
        fired = {"exp_labels": {**case.labels, "severity": severity}, "exp_annotations": annotations}
        tests = [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": [fired]}]
        expected = case.alert
    samples = [{"labels": f'{{alertname="{expected}"}}', "value": 1}] if expected else []
    firing = {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": case.at, "exp_samples": samples
    }  # fmt: skip
    inputs = [{"series": name, "values": values} for name, values in (case.leader | case.series).items()]
    return {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": case.every,
        "tests": [
            {"interval": case.every, "input_series": inputs, "alert_rule_test": tests, "promql_expr_test": [firing]}
        ],
    }  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_fires_and_what_does_not(verdicts, name):
    assert re.fullmatch(r"case-\d+.yaml\s+SUCCESS\s*", verdicts[name]), verdicts[name]


def test_each_alert_is_seen_to_fire():
    assert {case.alert for case in FIRES.values()} == set(ALERT_NAMES)


def test_prometheus_accepts_the_rules(promtool):
    code, output = promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
    assert code == 0, output


def test_the_rules_are_those_that_have_values(rules):
    (group,) = rules["groups"]
    assert tuple(rule["alert"] for rule in group["rules"]) == ALERT_NAMES


def test_a_value_is_its_threshold_time_and_severity(helm):
    values = {"prometheusRule.alerts.JobtideOldSnapshot": {"severity": "info", "forSeconds": 1, "seconds": 1000000}}
    rule = one(helm.render(values), "JobtideOldSnapshot")
    assert (rule["for"], rule["labels"]["severity"]) == ("1s", "info")
    assert rule["expr"].endswith("> 1000000")


def test_every_value_of_an_alert_changes_it(helm):
    """Each number is another one, so a rule that has them all reads them all."""
    chosen, number = {}, 1_000
    for name, values in alerts()().model_dump(by_alias=True).items():
        chosen[name] = {"severity": "info"}
        for key in values.keys() - {"severity"}:
            number += 1
            chosen[name][key] = number
    rendering = helm.render({"prometheusRule.alerts": chosen})
    for name, values in chosen.items():
        text = yaml.safe_dump(one(rendering, name))
        assert [key for key, value in values.items() if str(value) not in text] == [], name


def test_labels_and_a_page_that_are_set_to_null_are_none(helm):
    rule = one(helm.render({"prometheusRule.alertLabels": None, "prometheusRule.runbookUrl": None}), "JobtideDeadRows")
    assert rule["labels"] == {"severity": "warning"}


def test_excluded_rules_are_left_out(helm):
    rendering = helm.render({"prometheusRule.excludeRules": ["JobtideDeadRows", "JobtideOldSnapshot"]})
    names = {rule["alert"] for rule in rendering.one("PrometheusRule")["spec"]["groups"][0]["rules"]}
    assert names == set(ALERT_NAMES) - {"JobtideDeadRows", "JobtideOldSnapshot"}


def test_every_alert_has_the_labels_and_the_page_that_are_set(helm):
    values = {
        "prometheusRule.alertLabels": {"team": "platform", "severity": "none"},
        "prometheusRule.runbookUrl": "https://wiki.example.com/{alert}.html",
    }
    rule = one(helm.render(values), "JobtideNoLeader")
    assert rule["labels"] == {"namespace": "queue", "severity": "critical", "team": "platform"}
    assert rule["annotations"]["runbook_url"] == "https://wiki.example.com/JobtideNoLeader.html"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param({"excludeRules": ["JobtideDeadRow"]}, ["/excludeRules/0", "'JobtideDeadRows'"], id="unknown name"),
        pytest.param({"alerts.JobtideDead": {}}, ["/alerts", "'JobtideDead' not allowed"], id="unknown alert"),
        pytest.param({"alerts.JobtideDeadRows.row": 1}, ["'row' not allowed"], id="unknown threshold"),
        pytest.param({"alerts.JobtideDeadRows.rows": -1}, ["/rows", "minimum"], id="negative"),
        pytest.param({"alerts.JobtideDeadRows.rows": "many"}, ["/rows", "want integer"], id="words"),
        pytest.param({"alerts.JobtideDeadRows.severity": "page"}, ["/severity", "'critical'"], id="severity"),
        pytest.param({"alerts.JobtideLeasesLost.windowSeconds": 30}, ["/windowSeconds", "minimum"], id="short window"),
        pytest.param({"runbookUrl": "https://example.com"}, ["/runbookUrl", "pattern"], id="no place for the name"),
    ],
)
def test_a_mistake_is_refused_by_name(helm, values, words):
    refusal = helm.refusal({f"prometheusRule.{key}": value for key, value in values.items()})
    for word in words:
        assert word in refusal


def test_values_of_a_release_that_had_no_alerts_bring_none(helm):
    """`helm upgrade --reuse-values` renders the new templates with the defaults of the old chart."""
    kinds = [one["kind"] for one in helm.render({"prometheusRule": None, "metrics.workerPodMonitor": None}).manifests]
    assert "ServiceMonitor" in kinds
    assert not {"PrometheusRule", "PodMonitor"} & set(kinds)


def test_there_are_none_without_the_prometheus_operator_or_if_they_are_off(helm):
    assert not helm.render({}, prometheus=False).of_kind("PrometheusRule")
    assert not helm.render({"prometheusRule.enabled": False}).of_kind("PrometheusRule")


def one(rendering, name):
    (rule,) = (r for r in rendering.one("PrometheusRule")["spec"]["groups"][0]["rules"] if r["alert"] == name)
    return rule
