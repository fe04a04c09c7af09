"""The page of `jobtide dev`: its address is in the terminal, and nothing but that address opens it."""

from __future__ import annotations

import contextlib
import re
import socket

from dev.machine.wait import wait_until
from tests.postgres.embedded.conftest import Dev
from tests.unit.page.world import Browser, names

APP = "acme.jobs:tide"


def address(process: Dev) -> tuple[str, str]:
    pattern = r"the page: (http://127\.0\.0\.1:\d+/)#token=(\S+)"
    found = wait_until("the address of the page", lambda: re.search(pattern, process.output))
    return found[1], found[2]


def taken_after_a_free_one() -> socket.socket:
    """A socket on a port whose predecessor is free."""
    while True:
        taken = socket.create_server(("127.0.0.1", 0))
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", taken.getsockname()[1] - 1)):
            return taken
        taken.close()


async def test_the_address_in_the_terminal_opens_the_page(dev, enqueue):
    base, token = address(dev(APP, "--no-reload"))
    enqueue("echo", 2)
    async with Browser(base) as browser:
        assert (await browser.get("api/overview"))[0] == 401
        assert (await browser.post("api/login", {"token": "guess"}))[0] == 401
        await browser.login(token)
        overview = {}
        while not overview.get("pools") or overview["pools"][0]["waiting"] is None:
            _, overview = await browser.get("api/overview")
        assert names(overview) == ["dev"]
        assert overview["pools"][0]["may"] == {"act": True, "payloads": True}
        assert overview["databases"][0]["jobs"] == "available"
        jobs = (await browser.get("api/jobs?database=main&type=echo"))[1]["jobs"]
        assert len(jobs) == 2
        assert (await browser.get(Host="evil.example"))[0] == 421


def test_a_page_port_that_is_taken_says_so_and_the_usual_one_gives_way(dev):
    with contextlib.closing(taken_after_a_free_one()) as taken:
        port = taken.getsockname()[1]
        chosen = dev(APP, "--no-reload", "--page-port", str(port))
        assert chosen.popen.wait(60) > 0
        assert f"port {port} of 127.0.0.1 can't be used" in chosen.output
        assert "--page-port" in chosen.output
        base, _ = address(dev(APP, "--no-reload", "--port", str(port - 1)))
        assert base != f"http://127.0.0.1:{port}/"
