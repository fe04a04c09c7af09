"""An API server that is away for an hour is two lines in the log, whatever kopf says of each attempt."""

from __future__ import annotations

import logging

import aiohttp
import kopf
import pytest
from kopf._cogs.clients import api

from jobtide_controller.kube.inventory.kopf_log import REQUESTS, SILENT_SECONDS, Reach, heard
from tests.unit.kube.objects import Clock

NO_PAUSES = [0.0] * 100
logger = logging.getLogger(f"{REQUESTS}.watching")


class Response:
    status = 200


class Session:
    """Refuses some times, then answers."""

    closed = False

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    async def request(self, **_):
        if self.refusals:
            self.refusals -= 1
            raise aiohttp.ClientConnectionError("refused")
        return Response()


class Context:
    server = "https://api"

    def __init__(self, refusals: int) -> None:
        self.session = Session(refusals)

    def add_response(self, response) -> None: ...


async def request(refusals):
    """As kopf's own watches send theirs."""
    await api.request(
        "get", "/pods", settings=kopf.OperatorSettings(), backoffs=NO_PAUSES, logger=logger, context=Context(refusals)
    )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


class Log(logging.Handler):
    """The process's one handler."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def log():
    log = Log()
    logging.getLogger().addHandler(log)
    yield log
    logging.getLogger().removeHandler(log)


@pytest.fixture
def reach(clock, told):
    reach = Reach(lambda why: told.append(("lost", why)), lambda s: told.append(("found", s)), monotonic=clock)
    with heard(reach):
        yield reach


@pytest.mark.usefixtures("reach")
async def test_many_failed_attempts_are_told_once_and_so_is_the_one_that_gets_through(told, log):
    await request(refusals=50)
    assert told == [("lost", "GET https://api/pods -> ClientConnectionError('refused')"), ("found", 0.0)]
    assert log.lines == []


@pytest.mark.usefixtures("reach")
async def test_requests_that_get_through_at_once_say_nothing(told):
    await request(refusals=0)
    assert told == []


@pytest.mark.usefixtures("reach")
async def test_the_next_outage_is_told_again(told):
    for _ in range(2):
        await request(refusals=3)
    assert [kind for kind, _ in told] == ["lost", "found"] * 2


@pytest.mark.usefixtures("reach")
def test_an_outage_whose_end_was_not_heard_hides_no_later_one(told, clock):
    for _ in range(2):
        logger.error("Request attempt #1 failed; will retry: GET /pods -> refused")
        clock.pass_(SILENT_SECONDS + 1)
    assert [kind for kind, _ in told] == ["lost", "lost"]


@pytest.mark.usefixtures("reach")
def test_everything_else_that_kopf_says_is_logged_as_before(log):
    logger.warning("Ignoring an unsupported event type")
    logger.debug("Starting the watch-stream")
    assert log.lines == ["Ignoring an unsupported event type"]


def test_afterwards_kopf_logs_as_before(told, log):
    with heard(Reach(told.append, told.append)):
        pass
    logger.error("Request attempt #1 failed; will retry: GET /pods -> refused")
    assert (len(log.lines), told) == (1, [])
