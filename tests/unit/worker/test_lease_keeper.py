"""The keeper acts for a worker that is busy and silent, never for one that is healthy or dead."""

from __future__ import annotations

from uuid import uuid4

import pytest

from jobtide.queue.session import DatabaseUnreachable
from jobtide.telemetry.events import DatabaseBack, DatabaseLost, LeasesKept
from jobtide.worker.lease_keeper import LeaseKeeper, Pulse

LEASE_SECONDS = 60


class Leases:
    def __init__(self):
        self.extended = 0
        self.unreachable = False
        self.held = {uuid4()}

    def extend_own_pod(self):
        if self.unreachable:
            raise DatabaseUnreachable("refused")
        self.extended += 1
        return self.held

    def close(self):
        pass


class Scene:
    """A worker as its keeper sees it, with one check a second."""

    def __init__(self):
        self.leases, self.pulse, self.events, self.used = Leases(), Pulse(), [], 0.0
        self.keeper = LeaseKeeper(
            self.leases,
            self.pulse,
            lease_seconds=LEASE_SECONDS,
            cpu_seconds=lambda: self.used,
            emit=self.events.append,
        )

    def checks(self, first, last, *, cpu_share):
        busy = False
        for now in range(first, last + 1):
            self.used += cpu_share
            busy = self.keeper.run_once(float(now))
        return busy


@pytest.fixture
def scene():
    return Scene()


@pytest.mark.parametrize(
    ("silent_seconds", "cpu_share", "extended"),
    [
        pytest.param(1, 1.0, 0, id="busy, with a pulse"),
        pytest.param(21, 1.0, 1, id="busy and silent for a third of the lease"),
        pytest.param(45, 1.0, 2, id="busy and silent for longer"),
        pytest.param(45, 0.001, 0, id="silent and idle"),
    ],
)
def test_only_leases_of_a_busy_and_silent_worker_are_extended(scene, silent_seconds, cpu_share, extended):
    scene.pulse.beat(100.0)
    busy = scene.checks(101, 100 + silent_seconds, cpu_share=cpu_share)
    assert (scene.leases.extended, busy) == (extended, extended > 0)


def test_nothing_is_extended_before_the_first_pulse(scene):
    assert not scene.checks(1000, 1100, cpu_share=1.0)
    assert scene.leases.extended == 0


def test_a_pulse_that_comes_back_ends_the_extensions(scene):
    scene.pulse.beat(100.0)
    assert scene.checks(101, 130, cpu_share=1.0)
    scene.pulse.beat(131.0)
    assert not scene.checks(132, 140, cpu_share=1.0)
    assert scene.events == [LeasesKept(1, 21.0)]


def test_an_outage_is_reported_once_and_its_end_too(scene):
    scene.pulse.beat(100.0)
    scene.leases.unreachable = True
    scene.checks(101, 125, cpu_share=1.0)
    scene.leases.unreachable = False
    scene.checks(126, 140, cpu_share=1.0)
    assert [type(event) for event in scene.events] == [DatabaseLost, DatabaseBack, LeasesKept]


def test_a_pulse_that_comes_back_during_an_outage_ends_it_without_an_event(scene):
    scene.pulse.beat(100.0)
    scene.leases.unreachable = True
    scene.checks(101, 125, cpu_share=1.0)
    scene.pulse.beat(126.0)
    scene.checks(127, 130, cpu_share=1.0)
    scene.checks(131, 150, cpu_share=1.0)
    assert [type(event) for event in scene.events] == [DatabaseLost, DatabaseLost]


def test_no_event_is_emitted_if_no_lease_was_extended(scene):
    scene.pulse.beat(100.0)
    scene.leases.held = set()
    scene.checks(101, 125, cpu_share=1.0)
    assert scene.events == []
