"""Tests of the responder's engine with plain sockets as its clients."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.addresses import Address, Endpoint
from common.errors import SessionerError, UsageError
from common.paging import all_rows
from common.reactor import BEAT
from responder.echo import BUFFER
from responder.engine import Engine
from responder.settings import Settings
from responder.snapshot import ClientRow, ListenerRow, Snapshot
from tests.conftest import Run, find_free_ports
from tests.support import reset, until

ANY_PORT = Endpoint("127.0.0.1", 0, 0)


@asynccontextmanager
async def listening(
    count: int = 1, endpoint: Endpoint = ANY_PORT, hashsize: int = 10
) -> AsyncIterator[tuple[Engine, list[Address]]]:
    """Give a responder with so many listeners, and their addresses."""
    async with aclosing(Engine(Settings(hashsize=hashsize))) as engine:
        yield engine, [address for _ in range(count) for address in await engine.add_listeners(endpoint)]


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
        more = await loop.sock_recv(sock, count - len(data))
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


def noise(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count)


# Echo


@pytest.mark.usefixtures("run")
async def test_what_a_client_sends_comes_back() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        for size in (1, 4, BUFFER - 1, BUFFER, BUFFER + 1):
            await echoed(sock, noise(size, size))
        now = await engine.snapshot()
        assert now.received == now.sent == 5 + 3 * BUFFER


chunks = st.lists(st.integers(1, 700_000), min_size=1, max_size=10)


@given(sizes=st.lists(chunks, min_size=1, max_size=3), seed=st.integers(0, 1 << 32))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_client_gets_back_exactly_what_it_sent(run: Run[None], sizes: list[list[int]], seed: int) -> None:
    async def scenario() -> None:
        async with listening() as (engine, (address,)), Clients() as own:
            socks = await own.several(address, len(sizes))
            await asyncio.gather(*(chat(sock, seed, each) for sock, each in zip(socks, sizes, strict=True)))
            assert (await engine.snapshot()).sent == sum(map(sum, sizes))

    async def chat(sock: socket.socket, seed: int, sizes: list[int]) -> None:
        data = noise(seed, sum(sizes))
        came_back = asyncio.create_task(receive(sock, len(data)))
        at = 0
        for size in sizes:
            await send(sock, data[at : at + size])
            at += size
        assert await came_back == data

    run(scenario())


@pytest.mark.usefixtures("run")
async def test_a_client_that_does_not_read_is_not_read_either() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        stuck = await own.connect(address)
        total = await fill(stuck)
        now = await engine.snapshot()
        # All that is kept of a client is what one read brought.
        assert now.received - now.sent <= BUFFER
        assert now.received < total
        for other in await own.several(address, 3):
            await echoed(other, noise(1, 500_000))
        assert await receive(stuck, total) == bytes(total)
        await echoed(stuck)


@pytest.mark.usefixtures("run")
async def test_a_client_that_does_not_read_can_vanish() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        stuck = await own.connect(address)
        await fill(stuck)
        reset(stuck)
        now = await status(engine, lambda now: not now.held)
        assert now.losses == {"rst": 1}


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("size", [0, 1, BUFFER, 8 * BUFFER, 20 * BUFFER])
async def test_a_half_closed_client_gets_the_rest_and_then_a_fin(size: int) -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        data = noise(size, size)
        sending = asyncio.create_task(send(sock, data))
        if size <= BUFFER:
            await sending
            sock.shutdown(socket.SHUT_WR)
        else:
            sending.add_done_callback(lambda _: sock.shutdown(socket.SHUT_WR))
        assert await receive(sock, size + 1) == data
        now = await status(engine, lambda now: not now.held)
        assert now.losses == {"fin": 1}


@pytest.mark.usefixtures("run")
async def test_a_half_close_while_nothing_is_read_loses_nothing() -> None:
    async with listening() as (_, (address,)), Clients() as own:
        sock = await own.connect(address)
        total = await fill(sock)
        sock.shutdown(socket.SHUT_WR)
        assert await receive(sock, total + 1) == bytes(total)


@pytest.mark.usefixtures("run")
async def test_what_one_client_does_touches_no_other() -> None:
    async with listening(2) as (engine, addresses), Clients() as own:
        kept = [sock for address in addresses for sock in await own.several(address, 5)]
        others = [sock for address in addresses for sock in await own.several(address, 20)]
        for number, sock in enumerate(others):
            if number % 4 == 0:
                reset(sock)
            elif number % 4 == 1:
                await send(sock, noise(number, 3000))
                reset(sock)
            elif number % 4 == 2:
                sock.shutdown(socket.SHUT_WR)
            else:
                sock.close()
        now = await status(engine, lambda now: now.held == 10)
        assert sum(now.losses.values()) == 40
        assert set(now.losses) <= {"fin", "rst"}
        for sock in kept:
            await echoed(sock)
        assert sorted(row.held for row in (await listeners(engine)).values()) == [5, 5]


# Listeners


@pytest.mark.usefixtures("run")
async def test_accepted_clients_are_counted_by_listener() -> None:
    async with listening(3) as (engine, addresses), Clients() as own:
        for number, address in enumerate(addresses):
            await own.several(address, number)
        await status(engine, lambda now: now.held == 3)
        gone = await own.connect(addresses[0])
        await status(engine, lambda now: now.held == 4)
        gone.close()
        now = await status(engine, lambda now: now.held == 3)
        assert (now.accepted, now.listeners, now.accept_errors) == (4, 3, 0)
        rows = await listeners(engine)
        assert [(rows[str(address)].accepted, rows[str(address)].held) for address in addresses] == [
            (1, 0),
            (1, 1),
            (2, 2),
        ]


@pytest.mark.usefixtures("run")
async def test_listeners_come_and_go_and_their_clients_stay() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        kept = await own.several(address, 3)
        await status(engine, lambda now: now.held == 3)
        (another,) = await engine.add_listeners(ANY_PORT)
        kept += await own.several(another, 2)
        await status(engine, lambda now: now.held == 5)
        assert await engine.remove_listeners(Endpoint(address.host, address.port, address.port)) == 1
        assert list(await listeners(engine)) == [str(another)]
        with pytest.raises(ConnectionRefusedError):
            await own.connect(address)
        for sock in kept:
            await echoed(sock)
        assert len(await clients(engine)) == 5
        kept[0].close()
        now = await status(engine, lambda now: now.held == 4)
        assert now.losses == {"fin": 1}


@pytest.mark.usefixtures("run")
async def test_an_address_can_be_listened_on_again() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        endpoint = Endpoint(address.host, address.port, address.port)
        await own.connect(address)
        await status(engine, lambda now: now.held == 1)
        await engine.remove_listeners(endpoint)
        assert await engine.add_listeners(endpoint) == [address]
        await echoed(await own.connect(address))


@pytest.mark.usefixtures("run")
async def test_a_range_of_which_one_port_is_taken_is_not_listened_on_at_all() -> None:
    first = find_free_ports(3)
    async with listening(0) as (engine, _):
        taken = Endpoint("127.0.0.1", first + 1, first + 1)
        await engine.add_listeners(taken)
        with pytest.raises(SessionerError, match=f"^cannot listen on 127.0.0.1:{first + 1}: Address already in use$"):
            await engine.add_listeners(Endpoint("127.0.0.1", first, first + 2))
        assert len(await listeners(engine)) == 1
        await engine.remove_listeners(taken)
        assert len(await engine.add_listeners(Endpoint("127.0.0.1", first, first + 2))) == 3


@pytest.mark.usefixtures("run")
async def test_an_address_that_is_not_ours_is_refused() -> None:
    async with listening(0) as (engine, _):
        with pytest.raises(SessionerError, match=r"^cannot listen on 192\.0\.2\.1:5000: "):
            await engine.add_listeners(Endpoint("192.0.2.1", 5000, 5000))


@pytest.mark.usefixtures("run")
async def test_a_listener_that_is_not_there_cannot_be_removed() -> None:
    async with listening() as (engine, _):
        with pytest.raises(UsageError, match="there is no such listener"):
            await engine.remove_listeners(Endpoint("127.0.0.9", 9, 9))
        assert (await engine.snapshot()).listeners == 1


@pytest.mark.usefixtures("run")
async def test_one_listener_serves_both_families() -> None:
    async with listening(1, Endpoint("::", 0, 0)) as (engine, (address,)), Clients() as own:
        pair = [await own.connect(Address(host, address.port)) for host in ("127.0.0.1", "::1")]
        for sock in pair:
            await echoed(sock)
        rows = await clients(engine)
        assert sorted((row.peer, row.local) for row in rows) == sorted(
            (str(name(sock)), str(Address(name(sock).host, address.port))) for sock in pair
        )
        for sock in pair:
            (row,) = await clients(engine, name(sock))
            assert row.peer == str(name(sock))
        assert await engine.drop(name(pair[0]), False) == 1
        assert await receive(pair[0], 1) == b""
        await echoed(pair[1])


@pytest.mark.usefixtures("run")
async def test_an_ipv6_address_leaves_its_port_to_ipv4() -> None:
    async with listening(1, Endpoint("::1", 0, 0)) as (engine, (address,)), Clients() as own:
        (other,) = await engine.add_listeners(Endpoint("127.0.0.1", address.port, address.port))
        for where in (address, other):
            await echoed(await own.connect(where))
        assert {row.held for row in (await listeners(engine)).values()} == {1}


# Ends on purpose, lists, tables


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("as_reset", [True, False])
async def test_clients_are_dropped_on_purpose_and_are_no_losses(as_reset: bool) -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        socks = await own.several(address, 10)
        await status(engine, lambda now: now.held == 10)
        assert await engine.drop(4, as_reset) == 4
        now = await engine.snapshot()
        assert (now.held, now.losses) == (6, {})
        ends = [await end_of(sock) for sock in socks if name(sock) not in await peers(engine)]
        assert ends == [ConnectionResetError if as_reset else b""] * 4
        assert await engine.drop(99, as_reset) == 6
        assert await engine.drop(99, as_reset) == 0


async def peers(engine: Engine) -> set[Address]:
    """Return the addresses of the clients."""
    hosts = [row.peer.rpartition(":") for row in await clients(engine)]
    return {Address(host, int(port)) for host, _, port in hosts}


async def end_of(sock: socket.socket) -> bytes | type[OSError]:
    """Return what a client reads at its end."""
    try:
        return await receive(sock, 1)
    except ConnectionResetError as error:
        return type(error)


@pytest.mark.usefixtures("run")
async def test_the_clients_of_a_listener_or_of_a_peer_can_be_dropped() -> None:
    async with listening(2) as (engine, addresses), Clients() as own:
        first, second = [await own.several(address, 5) for address in addresses]
        await status(engine, lambda now: now.held == 10)
        assert await engine.drop(addresses[0], False) == 5
        assert [await receive(sock, 1) for sock in first] == [b""] * 5
        assert await engine.drop(name(second[0]), False) == 1
        assert await receive(second[0], 1) == b""
        for sock in second[1:]:
            await echoed(sock)
        with pytest.raises(UsageError, match="no listener and no client has the address"):
            await engine.drop(name(second[0]), False)


@pytest.mark.usefixtures("run")
async def test_a_peer_s_sessions_with_several_ports_are_all_found() -> None:
    async with listening(3) as (engine, addresses):
        with ExitStack() as stack:
            shared = Address("127.0.0.1", find_free_ports(1))
            for address in addresses:
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(shared)
                sock.connect(address)
            await status(engine, lambda now: now.held == 3)
            rows = await clients(engine, shared)
            assert {row.peer for row in rows} == {str(shared)}
            assert {row.local for row in rows} == {str(address) for address in addresses}
            assert await engine.drop(shared, True) == 3


@pytest.mark.usefixtures("run")
async def test_a_list_shows_every_client_once() -> None:
    async with listening(2) as (engine, addresses), Clients() as own:
        socks = [sock for address in addresses for sock in await own.several(address, 230)]
        await status(engine, lambda now: now.held == 460)
        rows = await clients(engine)
        assert sorted(row.peer for row in rows) == sorted(str(name(sock)) for sock in socks)
        assert all(0 <= row.idle <= row.age for row in rows)
        assert len(await clients(engine, addresses[0])) == 230
        with pytest.raises(UsageError, match="no listener and no client has the address"):
            await clients(engine, Address("127.0.0.9", 9))


@pytest.mark.usefixtures("run")
async def test_the_table_grows_by_itself_and_can_be_resized_under_clients() -> None:
    async with listening(hashsize=1) as (engine, (address,)), Clients() as own:
        socks = await own.several(address, 300)
        now = await status(engine, lambda now: now.held == 300)
        assert now.hashsize > 1
        assert now.max_depth < 50
        for size in (5000, 500):
            await engine.set_hashsize(size)
            await status(engine, lambda now, size=size: now.hashsize == size)  # type: ignore[misc]
            assert len(await clients(engine, name(socks[7]))) == 1
        for sock in socks:
            sock.close()
        now = await status(engine, lambda now: not now.held)
        assert now.max_depth == 0


@pytest.mark.usefixtures("run")
async def test_waiting_ends_when_so_many_clients_are_connected() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        await engine.wait_clients(0)
        waiting = asyncio.create_task(engine.wait_clients(3))
        await own.several(address, 2)
        await status(engine, lambda now: now.held == 2)
        assert not waiting.done()
        await own.connect(address)
        await waiting


@pytest.mark.usefixtures("run")
async def test_the_demand_is_that_of_the_clients_or_of_what_is_asked_for() -> None:
    async with listening(2) as (engine, addresses), Clients() as own:
        await own.several(addresses[0], 5)
        await status(engine, lambda now: now.held == 5)
        demand = await engine.demand(None)
        assert (demand.sessions, demand.held, demand.listeners) == (5, 5, 2)
        assert (await engine.demand(100)).sessions == 100


@pytest.mark.usefixtures("run")
async def test_closing_ends_clients_and_listeners() -> None:
    async with Clients() as own:
        async with listening() as (engine, (address,)):
            socks = await own.several(address, 5)
            await status(engine, lambda now: now.held == 5)
        assert [await receive(sock, 1) for sock in socks] == [b""] * 5
        with pytest.raises(ConnectionRefusedError):
            await own.connect(address)


@pytest.mark.usefixtures("run")
async def test_a_client_that_vanished_in_the_queue_does_no_harm() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        for _ in range(20):
            sock = socket.create_connection(address)  # the loop runs only after the reset
            reset(sock)
        await echoed(await own.connect(address))
        now = await status(engine, lambda now: now.held == 1)
        assert now.accepted + now.accept_errors == 21
