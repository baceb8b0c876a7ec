"""Servers that the probes are tried on, and an engine with such a server as its target."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from struct import pack
from typing import Any, cast

from common.addresses import Address, Endpoint
from initiator.engine import Engine
from initiator.probes.figures import ProbeFigures
from initiator.probes.running import ProbeSettings
from initiator.settings import Settings
from tests.support import until

# Clients of one server that does not take any number of them.
MOST = 150


class Server(asyncio.Protocol):
    """One client of a server that echoes; `clients` are all of them, oldest first."""

    def __init__(self, clients: "list[Server]") -> None:
        self.clients = clients

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.clients.append(self)
        self.came()

    def connection_lost(self, _error: Exception | None) -> None:
        self.clients.remove(self)

    def came(self) -> None:
        """Do what the server does to a new client."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def reset(self) -> None:
        """End this client by RST."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
        self.transport.abort()


class Silent(Server):
    def data_received(self, _data: bytes) -> None:
        pass


class Wrong(Server):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data[:-1] + b"?")


class Padded(Server):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data.ljust(512, b"\0"))


class Resetting(Server):
    def came(self) -> None:
        self.reset()


class Closing(Server):
    def data_received(self, _data: bytes) -> None:
        self.transport.close()


class Limited(Server):
    """Resets whoever comes when there are enough."""

    def came(self) -> None:
        if len(self.clients) > MOST:
            self.reset()


class Evicting(Server):
    """Resets the oldest when there are too many."""

    leaving = False

    def came(self) -> None:
        staying = [client for client in self.clients if isinstance(client, Evicting) and not client.leaving]
        if len(staying) > MOST:
            staying[0].leaving = True
            staying[0].reset()


class Piecemeal(Server):
    """Echoes each byte by itself."""

    def came(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        for byte in data:
            self.transport.write(bytes((byte,)))


@asynccontextmanager
async def serving(make: Callable[["list[Server]"], Server] = Server) -> AsyncIterator[tuple[Address, list[Server]]]:
    """Give the address of a server, and its clients."""
    clients: list[Server] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: make(clients), "127.0.0.1", 0, backlog=4096)
    try:
        yield Address(*server.sockets[0].getsockname()[:2]), clients
    finally:
        server.close()
        for client in clients:
            client.transport.abort()
        await until_gone(clients)
        await server.wait_closed()


async def until_gone(clients: list[Server]) -> None:
    """Return when a server has no client."""

    async def gone() -> bool:
        return not clients

    await until(gone)


@asynccontextmanager
async def initiating(*addresses: Address, **settings: Any) -> AsyncIterator[Engine]:
    """Give an initiator with these targets that holds no session to them."""
    async with aclosing(Engine(Settings(seed=1, **settings))) as engine:
        for address in addresses:
            await engine.add_targets(Endpoint(address.host, address.port, address.port), 10)
        if addresses:
            await engine.set_sessions(0, None)
        yield engine


async def probe(engine: Engine, settings: ProbeSettings, name: str) -> ProbeFigures:
    """Make a probe to its end, and return what it found."""
    await engine.start_probe(settings)
    await engine.wait_probe(name)
    return await engine.probe_figures(name)
