"""A row may claim to run; it counts only where a worker can hold it."""

from __future__ import annotations

from jobtide_controller.decide.holders import believed
from jobtide_controller.decide.reading import Depth, Key, PodRun, Reading

MINE, OTHER = Key("a", "mine"), Key("a", "other")


def reading(pods, **due):
    depths = {}
    for run in pods.values():
        for key, count in run.running.items():
            depths[key] = Depth(running=depths.get(key, Depth()).running + count, due=due.get(key.tenant_id, 0))
    return Reading(0.0, depths, pods)


def test_a_reading_in_which_every_holder_is_known_is_not_copied():
    honest = reading({"p": PodRun({MINE: 3})})
    assert believed(honest, {"p"}, 4) is honest


def test_rows_of_a_holder_that_is_no_worker_of_the_pool_do_not_run():
    seen = believed(reading({"p": PodRun({MINE: 3}), "local-x": PodRun({OTHER: 160})}), {"p"}, 4)
    assert seen.depths == {MINE: Depth(running=3)}
    assert seen.pods.keys() == {"p"}


def test_due_rows_of_a_tenant_stay_when_its_forged_ones_go():
    seen = believed(reading({"x": PodRun({MINE: 5})}, mine=7), set(), 4)
    assert seen.depths == {MINE: Depth(due=7)}


def test_a_worker_runs_no_more_jobs_than_it_has_slots_and_no_tenant_hides_another():
    seen = believed(reading({"p": PodRun({MINE: 1, OTHER: 1_000_000})}), {"p"}, 4)
    assert {key: depth.running for key, depth in seen.depths.items()} == {MINE: 1, OTHER: 3}


def test_more_tenants_than_slots_are_no_error():
    keys = [Key("a", str(number)) for number in range(10)]
    seen = believed(reading({"p": PodRun(dict.fromkeys(keys, 9))}), {"p"}, 4)
    assert sum(depth.running for depth in seen.depths.values()) == 4


def test_a_row_of_an_unknown_holder_waits_for_a_worker_once_its_lease_is_over():
    seen = believed(reading({"x": PodRun({MINE: 5}, {MINE: 2})}), set(), 4)
    assert seen.depths == {MINE: Depth(due=2)}


def test_a_worker_that_could_not_extend_its_leases_still_runs_its_jobs():
    honest = reading({"p": PodRun({MINE: 3}, {MINE: 3})})
    assert believed(honest, {"p"}, 4) is honest
