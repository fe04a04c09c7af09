"""Simulated workers take the type that is nearest to breaking its promise; each type is judged by its own."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtide_controller.simulate import policy
from jobtide_controller.simulate.arguments import parser
from jobtide_controller.simulate.bound import least_worker_seconds
from jobtide_controller.simulate.cluster import Cluster, Setting
from jobtide_controller.simulate.command import main
from jobtide_controller.simulate.policy import PolicyError
from jobtide_controller.simulate.run import run
from jobtide_controller.simulate.scalers import Jobtide
from jobtide_controller.simulate.trace import Job
from tests.unit.simulate.worlds import OPTIONS, few, oldest_first, spec, trace

PROMISES = {"thumbs": 30, "video": 600}


def claimed(jobs, promises, seconds):
    """The types in the order of their claims, of one worker with one slot."""
    made = Cluster(trace(jobs), Setting(1, lambda: 5.0, promises=promises), Random(1))
    made.scale(1, oldest_first)
    made.advance(seconds)
    return [key.type for key, _ in made.ledger.waits]


def test_the_shorter_promise_is_served_first():
    jobs = [Job(0.0, 1.0, type_) for type_ in ("video", "thumbs") for _ in range(5)]
    assert claimed(jobs, PROMISES, 15.0) == ["thumbs"] * 5 + ["video"] * 5
    assert claimed(jobs, {}, 15.0)[:4] == ["video", "thumbs", "video", "thumbs"]


def test_a_long_promise_that_is_nearly_over_comes_first():
    jobs = [Job(0.0, 600.0, "thumbs"), Job(10.0, 1.0, "video"), Job(600.0, 1.0, "thumbs")]
    assert claimed(jobs, PROMISES, 606.0) == ["thumbs", "video", "thumbs"]


def _pool(**fields):
    return spec(types=["thumbs", "video"], **fields)


def _mixed(rng, seconds=1_800):
    """Short jobs all the time, and a batch of long ones every ten minutes."""
    jobs = [Job(rng.uniform(0, seconds), rng.uniform(0.3, 1.5), "thumbs", f"t{n % 5}") for n in range(3 * seconds)]
    batches = range(100, seconds, 600)
    return trace([*jobs, *(Job(at + rng.random(), rng.uniform(10, 30), "video") for at in batches for _ in range(100))])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_pool_keeps_both_promises_for_less_than_one_short_promise_for_all_costs(seed):
    jobs, pool, short = _mixed(Random(seed)), _pool(promises=PROMISES), _pool(maxWaitSeconds=30)
    both = run(jobs, pool, Jobtide(pool), OPTIONS)
    assert [one.late for one in both.types] == [0, 0]
    assert both.busy_stopped == both.unfinished == 0
    assert both.worker_seconds <= 0.9 * run(jobs, short, Jobtide(short), OPTIONS).worker_seconds


@pytest.mark.slow
def test_a_flood_of_one_type_at_the_maximum_leaves_the_other_its_promise():
    """Four slots for 2,000 s of work that all should start within 30 s, and a job of the other type a minute."""
    jobs = [Job(0.0, 1.0, "thumbs") for _ in range(8_000)] + [Job(60.0 * n, 2.0, "video") for n in range(30)]
    pool = _pool(promises=PROMISES, maxReplicas=1)
    thumbs, video = run(trace(jobs), pool, Jobtide(pool), OPTIONS).types
    assert thumbs.late_share > 0.9
    assert video.late == 0


def test_equal_promises_change_nothing():
    jobs = trace([Job(n / 3, 1.0, ("thumbs", "video")[n % 2], f"t{n % 3}") for n in range(300)])
    one, equal = _pool(maxWaitSeconds=40), _pool(maxWaitSeconds=9, promises=dict.fromkeys(PROMISES, 40))
    first, second = run(jobs, one, Jobtide(one), OPTIONS), run(jobs, equal, Jobtide(equal), OPTIONS)
    assert (first.waits, first.worker_seconds) == (second.waits, second.worker_seconds)


def test_the_bound_takes_each_jobs_own_promise():
    jobs = [Job(0.0, 60.0, type_) for type_ in PROMISES for _ in range(4)]
    bounds = {"concurrency": 4, "start_seconds": 6.0}
    one_after_the_other = least_worker_seconds(jobs, promise_of=lambda type_: PROMISES[type_], **bounds)
    assert one_after_the_other == 120.0 + 6.0
    assert least_worker_seconds(jobs, promise_of=lambda _: 30.0, **bounds) == 120.0 + 2 * 6.0


@st.composite
def traces(draw):
    lengths, names = st.sampled_from([0.01, 1.0, 7.0, 60.0]), st.sampled_from(list(PROMISES))
    moments = st.integers(0, draw(st.sampled_from([5, 60, 200])))
    return trace([Job(float(draw(moments)), draw(lengths), draw(names)) for _ in range(draw(st.integers(1, 60)))])


@few
@given(traces(), st.integers(5, 60), st.integers(5, 600))
def test_no_run_that_keeps_every_promise_costs_less_than_the_bound(jobs, short, long):
    pool = _pool(promises={"thumbs": short, "video": long})
    outcome = run(jobs, pool, Jobtide(pool), OPTIONS)
    assert outcome.late_share > 0 or outcome.worker_seconds >= outcome.bound_seconds - 1e-6


POOL = """
kind: JobWorkerPool
metadata: {name: media}
spec:
  types: [thumbs, video]
  promises: {video: 600}
  template: {spec: {containers: [{name: worker, image: a}]}}
"""


def _built(tmp_path, *arguments, text=POOL):
    path = tmp_path / "pool.yaml"
    path.write_text(text)
    flags = parser().parse_args(["--trace", "steady", "--pool", str(path), *arguments])
    return policy.build(policy.of_file(flags.pool, None), ["x"], flags)


def test_promises_come_from_the_file_and_the_flags(tmp_path):
    assert _built(tmp_path).promises == {"video": 600}
    assert _built(tmp_path, "--type-promise", "thumbs=9", "--type-promise", "video=99").promises == {
        "thumbs": 9,
        "video": 99,
    }
    assert _built(tmp_path, "--jobs-per-worker", "9").promises == {}
    assert policy.promising(_built(tmp_path), 9).all_promises == [9]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        pytest.param(["--type-promise", "mail=9"], r"promises \('mail'\) must have types of this pool", id="no-type"),
        pytest.param(["--type-promise", "video=90000"], "promises.video in body should be less than", id="too-long"),
        pytest.param(
            ["--type-promise", "video=9", "--jobs-per-worker", "9"], r"promises \(1\) and jobsPerWorker \(9\)", id="two"
        ),
    ],
)
def test_promises_that_can_not_be_kept_are_refused(tmp_path, arguments, error):
    with pytest.raises(PolicyError, match=error):
        _built(tmp_path, *arguments)


def test_the_output_shows_the_types_apart(tmp_path, capsys):
    path = tmp_path / "jobs.csv"
    path.write_text("arrived_at,service_seconds,type\n0,1,thumbs\n0,1,video\n")
    flags = ["--csv", str(path), "--type-promise", "thumbs=30", "--type-promise", "video=600"]
    assert main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "promises thumbs 30 s, video 600 s, 0 to 10 workers of 4 jobs at once"
    assert [line.split()[-7:] for line in lines if line.startswith("Jobtide, promises by type")][1:] == [
        ["type", "thumbs", "30s", "0%", "9.5s", "9.5s", "9.5s"],
        ["type", "video", "600s", "0%", "9.5s", "9.5s", "9.5s"],
    ]
    assert main([*flags, "--promises", "10"]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("compared with 10 s for all types: ")
    assert main([*flags, "--json"]) == 0
    law = json.loads(capsys.readouterr().out)[0]
    assert [(one["type"], one["promiseSeconds"], one["attempts"]) for one in law["types"]] == [
        ("thumbs", 30, 1),
        ("video", 600, 1),
    ]


def test_a_promise_of_a_type_that_has_no_number_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--trace", "steady", "--type-promise", "thumbs"])
    assert "use TYPE=SECONDS, such as thumbs=30" in capsys.readouterr().err
