"""How the answers of the API server set the number of writes in flight."""

from __future__ import annotations

import pytest

from jobtide_controller.kube.write.window import LATE_SECONDS, LEAST, LONGEST_PAUSE_SECONDS, MOST, Window
from tests.unit.kube.objects import Clock, refused


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def window(clock):
    return Window(monotonic=clock)


@pytest.fixture
def wide(window, clock):
    """As wide as it gets."""
    answer(window, clock, times=1000)
    assert window.size == MOST
    return window


def answer(window, clock, *, after_seconds=0.01, error=None, times=1):
    for _ in range(times):
        sent_at = clock()
        clock.pass_(after_seconds)
        window.note(sent_at, error)


def test_a_round_of_prompt_answers_makes_room_for_one_more(window, clock):
    sizes = []
    for _ in range(3):
        answer(window, clock, times=window.size + 1)
        sizes.append(window.size)
    assert sizes == [LEAST + 1, LEAST + 2, LEAST + 3]
    assert (window.has_room(LEAST + 2), window.has_room(LEAST + 3)) == (True, False)


@pytest.mark.parametrize("code", [0, 429, 503, 504], ids=str)
def test_a_refusal_because_of_load_halves_it(wide, clock, code):
    answer(wide, clock, error=refused(code))
    assert wide.size == MOST / 2


@pytest.mark.parametrize("error", [None, refused(422)], ids=["accepted", "refused"])
def test_a_late_answer_halves_it(wide, clock, error):
    answer(wide, clock, after_seconds=LATE_SECONDS + 0.01, error=error)
    assert wide.size == MOST / 2


@pytest.mark.parametrize("code", [403, 404, 409, 422, 500], ids=str)
def test_what_is_wrong_with_one_object_is_no_load(wide, clock, code):
    answer(wide, clock, error=refused(code))
    assert wide.size == MOST


def test_all_that_was_in_flight_together_halves_it_once(wide, clock):
    sent_at = clock()
    clock.pass_(2)
    for _ in range(MOST):
        wide.note(sent_at)
    assert wide.size == MOST / 2
    clock.pass_(0.01)
    answer(wide, clock, error=refused(429))
    assert wide.size == MOST / 4, "this one was sent after it became narrower"


def test_it_always_has_a_few_places(wide, clock):
    answer(wide, clock, error=refused(0), times=100)
    assert wide.size == LEAST
    assert wide.has_room(LEAST - 1)


def test_it_is_closed_for_as_long_as_the_api_server_asks(wide, clock):
    answer(wide, clock, error=refused(429, retry_after_seconds=3))
    answer(wide, clock, error=refused(429, retry_after_seconds=1))
    assert wide.opens_in_seconds == pytest.approx(2.99)
    clock.pass_(3)
    assert wide.opens_in_seconds == 0


def test_it_is_not_closed_for_longer_than_is_of_use(wide, clock):
    answer(wide, clock, error=refused(503, retry_after_seconds=3600))
    assert wide.opens_in_seconds == LONGEST_PAUSE_SECONDS


def test_a_server_of_unknown_speed_gets_as_much_as_it_answers_in_time():
    """A closed loop: a server that ends 40 writes a second, one after another."""
    clock = Clock()
    window, line, free_at, done = Window(monotonic=clock), [], clock(), 0
    late = 0
    while done < 2000:
        while window.has_room(len(line)):
            line.append(clock())
        free_at = max(free_at, clock()) + 1 / 40
        clock.now = free_at
        sent_at = line.pop(0)
        late += clock() - sent_at > LATE_SECONDS
        window.note(sent_at)
        done += 1
    assert clock() - 1000.0 == pytest.approx(2000 / 40), "it was never idle"
    assert window.size <= 1 + 40 * LATE_SECONDS
    assert late < 0.15 * done
