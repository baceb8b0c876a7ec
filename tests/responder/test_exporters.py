"""Tests of what a responder tells StatsD and Prometheus, with real clients behind it."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import aclosing

import pytest

from common.addresses import Address, Endpoint
from common.exporters.settings import Exporters
from responder.engine import Engine
from responder.exporters import exporting
from responder.settings import Settings
from tests.common.exporters.test_prometheus import samples, scrape
from tests.common.exporters.test_statsd import server, told
from tests.support import until

pytestmark = pytest.mark.usefixtures("run")

FreePorts = Callable[[int], int]

PREFIX = "sessioner_responder_"


async def test_clients_listeners_and_bytes_are_told(free_ports: FreePorts) -> None:
    scraped = Address("127.0.0.1", free_ports(1))
    with server() as (sock, endpoint):
        async with aclosing(Engine(Settings())) as engine:
            (address,) = await engine.add_listeners(Endpoint("127.0.0.1", 0, 0))
            with socket.create_connection(address) as client, socket.create_connection(address):
                client.sendall(b"12345")

                async def is_echoed() -> bool:
                    now = await engine.snapshot()
                    return (now.held, now.sent) == (2, 5)

                await until(is_echoed)
                async with exporting(Exporters(endpoint, "there", 60), engine, attached=True):
                    attached = await told(sock)
                await told(sock)
                async with exporting(Exporters(endpoint, "there", 60, scraped), engine):
                    datagram = await told(sock)
                    found = samples(await asyncio.to_thread(scrape, scraped))
    of_it = (("listener", str(address)),)
    assert found[f"{PREFIX}clients", ()] == found[f"{PREFIX}listener_clients", of_it] == 2
    assert found[f"{PREFIX}clients_accepted_total", ()] == found[f"{PREFIX}listener_clients_accepted_total", of_it] == 2
    assert found[f"{PREFIX}listeners", ()] == found[f"{PREFIX}accepting", ()] == 1
    for name in ("received_bytes_total", "sent_bytes_total"):
        assert found[f"{PREFIX}{name}", ()] == found[f"{PREFIX}listener_{name}", of_it] == 5
    assert found[f"{PREFIX}clients_lost_total", (("reason", "rst"),)] == 0
    # What another console has told is not told again.
    assert (attached["there.connections.opened"], attached["there.connections.total"]) == ("0|c", "2|g")
    assert (datagram["there.connections.total"], datagram["there.connections.total.in"]) == ("2|g", "2|g")
    assert (datagram["there.traffic.data"], datagram["there.traffic.data.rcvd"]) == ("10|c", "5|c")
