"""An outage is reported once, again with each new cause, and its end once; the tries get rarer."""

from __future__ import annotations

import pytest

from jobtide.queue.outage import Outage
from jobtide.queue.session import DatabaseUnreachable
from jobtide.telemetry.events import DatabaseBack, DatabaseLost, DatabaseStillLost

REFUSED = 'connection to server at "10.0.0.7", port 5432 failed: Connection refused'
ANOTHER_PORT = 'connection to server at "10.0.0.8", port 6432 failed: Connection refused'
STARTING = "FATAL: the database system is starting up"
SUCCESS = None

LOST, STILL_LOST, BACK = DatabaseLost("claim", REFUSED), DatabaseStillLost("claim", STARTING), DatabaseBack("claim")


@pytest.fixture
def events():
    return []


@pytest.fixture
def outage(events):
    return Outage("claim", events.append)


@pytest.mark.parametrize(
    ("tries", "emitted"),
    [
        pytest.param([SUCCESS, SUCCESS], [], id="no outage"),
        pytest.param([REFUSED, REFUSED, REFUSED], [LOST], id="lost is emitted once"),
        pytest.param([REFUSED, ANOTHER_PORT], [LOST], id="a number or a quoted name is no new cause"),
        pytest.param([REFUSED, STARTING, STARTING], [LOST, STILL_LOST], id="a new cause is emitted, once"),
        pytest.param([REFUSED, REFUSED, SUCCESS, SUCCESS], [LOST, BACK], id="back is emitted once"),
        pytest.param([REFUSED, SUCCESS, REFUSED], [LOST, BACK, LOST], id="a second outage is lost again"),
    ],
)
def test_events_of_a_series_of_tries(outage, events, tries, emitted):
    for message in tries:
        if message is SUCCESS:
            outage.succeeded()
        else:
            outage.failed(DatabaseUnreachable(message), now=0)
    assert events == emitted


def test_an_abandoned_outage_ends_without_an_event(outage, events):
    outage.failed(DatabaseUnreachable(REFUSED), now=0)
    outage.abandon()
    outage.succeeded()
    assert (events, outage.wait_seconds(0)) == ([LOST], 0)


def test_waits_double_up_to_ten_seconds_and_half_of_each_is_random(outage):
    for longest in [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]:
        assert longest / 2 <= outage.failed(DatabaseUnreachable(REFUSED), now=0) <= longest


def test_the_first_wait_after_an_outage_is_short_again(outage):
    for _ in range(8):
        outage.failed(DatabaseUnreachable(REFUSED), now=0)
    outage.succeeded()
    assert outage.failed(DatabaseUnreachable(REFUSED), now=0) <= 0.2


def test_a_wait_counts_down_to_the_next_try(outage):
    wait = outage.failed(DatabaseUnreachable(REFUSED), now=100)
    assert outage.wait_seconds(100) == pytest.approx(wait)
    assert outage.wait_seconds(100 + wait / 2) == pytest.approx(wait / 2)
    assert outage.wait_seconds(200) == 0
    assert outage


def test_an_error_without_a_message_is_named_by_its_type_and_line_breaks_are_removed(outage, events):
    outage.failed(DatabaseUnreachable(""), now=0)
    outage.failed(DatabaseUnreachable("two\nlines"), now=0)
    assert [event.message for event in events] == ["DatabaseUnreachable", "two lines"]
