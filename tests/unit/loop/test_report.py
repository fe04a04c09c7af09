"""When a status is written: at once where a user waits for the change, else every few seconds."""

from __future__ import annotations

from typing import Any

import pytest

from jobtide_controller.decide.history import History, Learned
from jobtide_controller.decide.reading import Depth, Key, Reading
from jobtide_controller.decide.scaling import decide
from jobtide_controller.loop.report import MIN_PAUSE_SECONDS, Outcome, Reporter
from jobtide_controller.loop.term import PoolState, Term
from jobtide_controller.render.facts import Context
from tests.unit.decide.builders import NOW, fleet
from tests.unit.kube.objects import Clock, Events, pool
from tests.unit.loop.world import World

KNOWN = History(types={"thumbs": Learned(100.0, 1000.0)})  # jobs of a tenth of a second


class Setup:
    """One pool whose outcome a test changes; the statuses that were written."""

    def __init__(self) -> None:
        world = World()
        world.inventory.upsert_pool(pool(maxReplicas=40))
        self.entry = world.inventory.pools.get("uid-thumbs")
        self.clock, self.events, self.state = Clock(), Events(), PoolState(scaler=None)
        self.written: list[Any] = []
        self.term = Term(1, self)
        self.database = self.term.database("main", None)
        self.reporter = Reporter(self.events, wall_clock=self.clock, monotonic=self.clock)
        self.workers, self.context = fleet(1), Context()

    def tell_status(self, entry, status):
        self.written.append(status)
        entry.status = status

    def report(self, due=0):
        reading = Reading(NOW, {Key("thumbs", "t"): Depth(due=due, running=4)})
        decision = decide(self.entry.pool.spec, reading, self.workers, KNOWN, NOW)
        return self.reporter.report(
            self.term, Outcome(self.entry, reading, self.workers, decision, self.context), self.state
        )


@pytest.fixture
def setup():
    return Setup()


def test_the_first_status_is_written_at_once(setup):
    assert setup.report()
    assert len(setup.written) == 1


def test_a_status_that_says_nothing_new_is_not_written(setup):
    setup.report()
    setup.clock.pass_(60)
    assert setup.report(), "all is reported"
    assert len(setup.written) == 1


def test_numbers_that_change_are_written_every_few_seconds(setup):
    reported = []
    for second in range(11):
        reported.append(setup.report(due=second + 1))
        setup.clock.pass_(1)
    assert [status["pending"] for status in setup.written] == [1, 6, 11]
    assert reported.count(True) == 3


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"workers": fleet(2)}, id="a worker is ready"),
        pytest.param({"context": Context(conflict="it is not ours")}, id="a condition"),
        pytest.param({"context": Context(schema_warnings=("no index",))}, id="another condition"),
    ],
)
def test_what_a_user_may_wait_for_is_written_at_once(setup, change):
    setup.report(due=1)
    for name, value in change.items():
        setattr(setup, name, value)
    assert setup.report(due=1)
    assert len(setup.written) == 2


def test_a_message_that_changes_alone_waits_for_the_pause(setup):
    setup.context = Context(apply_error="refused at noon")
    setup.report()
    setup.context = Context(apply_error="refused at one")
    assert not setup.report()
    setup.clock.pass_(MIN_PAUSE_SECONDS)
    assert setup.report()


def test_many_pools_whose_numbers_change_share_the_writes(setup):
    setup.database.changing_pools = 1000
    setup.report(due=1)
    setup.clock.pass_(MIN_PAUSE_SECONDS)
    assert not setup.report(due=2)
    setup.clock.pass_(45.1)
    assert setup.report(due=2)


def test_a_pool_whose_numbers_stand_still_frees_its_share_of_the_writes(setup):
    setup.report(due=1)
    assert setup.state.status_written_at is not None
    setup.clock.pass_(MIN_PAUSE_SECONDS)
    setup.reporter.end_changes(setup.term, setup.state)
    assert setup.state.status_written_at is None


def test_a_trouble_lasts_until_its_condition_is_good_again(setup):
    setup.context = Context(apply_error="the quota is used up")
    setup.report()
    assert [(one.ref, one.condition, one.reason) for one in setup.state.troubles] == [
        (setup.entry.ref, "Ready", "ApplyFailed")
    ]
    setup.context = Context()
    setup.report()
    assert setup.state.troubles == ()
