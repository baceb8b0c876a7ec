"""What the tests of the responder drive it with: an engine on free ports, and plain sockets as its clients."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.paging import all_rows
from common.reactor import BEAT
from responder.engine import Engine
from responder.settings import ECHO, Settings
from responder.snapshot import ClientRow, ListenerRow, Snapshot
from responder.workers import Workers
from tests.support import until

ANY_PORT = Endpoint("127.0.0.1", 0, 0)


@asynccontextmanager
async def listening(
    count: int = 1, endpoint: Endpoint = ANY_PORT, mode: str = ECHO, **options: Any
) -> AsyncIterator[tuple[Engine, list[Address]]]:
    """Give a responder with so many listeners in a mode, and their addresses; the options are its settings."""
    async with aclosing(Engine(Settings(**{"hashsize": 10, **options}))) as engine:
        yield engine, [address for _ in range(count) for address in await engine.add_listeners(endpoint, mode)]


class Clients:
    """Plain sockets connected to a responder; leaving the block closes them."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    async def __aenter__(self) -> "Clients":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stack.close()

    async def connect(self, address: Address) -> socket.socket:
        """Return a new client."""
        sock = self._stack.enter_context(socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET))
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        return sock

    async def several(self, address: Address, count: int) -> list[socket.socket]:
        """Return so many new clients."""
        return [await self.connect(address) for _ in range(count)]


async def status(engine: Engine, check: Callable[[Snapshot], object]) -> Snapshot:
    """Return the first snapshot that a check holds of."""
    found: list[Snapshot] = []

    async def checked() -> bool:
        found[:] = [await engine.snapshot()]
        return bool(check(found[0]))

    await until(checked)
    return found[0]


async def listeners(engine: Engine) -> dict[str, ListenerRow]:
    """Return what `listeners` shows, by address."""
    return {row.listener: row async for row in all_rows(engine.listener_page)}


async def broken_off(engine: Engine | Workers, change: Coroutine[Any, Any, Any]) -> None:
    """Break a change of listeners off when some of it is done."""
    before = now = (await engine.snapshot()).listeners
    changing = asyncio.create_task(change)
    while now == before:
        await asyncio.sleep(0)
        now = (await engine.snapshot()).listeners
    assert changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing


async def clients(engine: Engine, address: Address | None = None) -> list[ClientRow]:
    """Return what `list` shows."""

    async def page(start: int) -> Any:
        return await engine.session_page(address, start)

    return [row async for row in all_rows(page)]


def name(sock: socket.socket) -> Address:
    """Return the address of a client."""
    return Address(*sock.getsockname()[:2])


async def send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def receive(sock: socket.socket, count: int) -> bytes:
    """Return so many bytes, or fewer if the session ends before."""
    loop, data = asyncio.get_running_loop(), bytearray()
    while len(data) < count:
        more = await loop.sock_recv(sock, min(count - len(data), 1 << 20))
        if not more:
            break
        data += more
    return bytes(data)


async def echoed(sock: socket.socket, data: bytes = b"hello") -> None:
    """Return when some data has come back as it was."""
    await send(sock, data)
    assert await receive(sock, len(data)) == data


async def fill(sock: socket.socket) -> int:
    """Send until nobody takes any more, neither the kernel nor the responder, and return how much was sent."""
    total, last, chunk = 0, -1, bytes(1 << 16)
    while total > last:
        last = total
        with suppress(BlockingIOError):
            while True:
                total += sock.send(chunk)
        await asyncio.sleep(5 * BEAT)
    return total


async def received(sock: socket.socket) -> bytes:
    """Return all that comes until the session ends."""
    return await receive(sock, 1 << 40)


async def sunk(engine: Engine, sock: socket.socket, data: bytes) -> None:
    """Return when the responder has read some data, and nothing has come back."""
    before = (await engine.snapshot()).received
    await send(sock, data)
    await status(engine, lambda now: now.received == before + len(data))
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def noise(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count)
