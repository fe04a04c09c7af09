"""An API server that is unreachable for an hour is two lines in the log, though kopf logs each attempt."""

from __future__ import annotations

import logging

import aiohttp
import kopf
import pytest
from kopf._cogs.clients import api

from jobtide_controller.kube.inventory.kopf_log import REQUESTS, SILENT_SECONDS, Reachability, attached
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
def reported():
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
def reachability(clock, reported):
    lost, found = (lambda why: reported.append(("lost", why))), (lambda seconds: reported.append(("found", seconds)))
    with attached(Reachability(lost, found, monotonic=clock)):
        yield


@pytest.mark.usefixtures("reachability")
async def test_many_failed_attempts_are_reported_once_and_so_is_the_success_after_them(reported, log):
    await request(refusals=50)
    assert reported == [("lost", "GET https://api/pods -> ClientConnectionError('refused')"), ("found", 0.0)]
    assert log.lines == []


@pytest.mark.usefixtures("reachability")
async def test_requests_that_succeed_at_once_report_nothing(reported):
    await request(refusals=0)
    assert reported == []


@pytest.mark.usefixtures("reachability")
async def test_the_next_outage_is_reported_again(reported):
    for _ in range(2):
        await request(refusals=3)
    assert [kind for kind, _ in reported] == ["lost", "found"] * 2


@pytest.mark.usefixtures("reachability")
def test_an_outage_without_a_logged_end_hides_no_later_outage(reported, clock):
    for _ in range(2):
        logger.error("Request attempt #1 failed; will retry: GET /pods -> refused")
        clock.pass_(SILENT_SECONDS + 1)
    assert [kind for kind, _ in reported] == ["lost", "lost"]


@pytest.mark.usefixtures("reachability")
def test_all_other_messages_of_kopf_are_logged_as_before(log):
    logger.warning("Ignoring an unsupported event type")
    logger.debug("Starting the watch-stream")
    assert log.lines == ["Ignoring an unsupported event type"]


def test_afterwards_kopf_logs_as_before(reported, log):
    with attached(Reachability(reported.append, reported.append)):
        pass
    logger.error("Request attempt #1 failed; will retry: GET /pods -> refused")
    assert (len(log.lines), reported) == (1, [])
