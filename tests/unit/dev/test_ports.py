from __future__ import annotations

import socket

from dev.machine.ports import PORTS, free_port, free_ports


def test_ports_are_distinct_free_and_below_the_source_ports():
    ports = free_ports(4)

    assert len(set(ports)) == 4
    assert all(port in PORTS for port in ports)


def test_a_port_that_a_program_listens_on_is_not_found(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        free = free_port()
        monkeypatch.setattr("dev.machine.ports.PORTS", range(min(taken, free), max(taken, free) + 1, abs(taken - free)))

        assert free_port() == free
