"""Tests of the echo behaviour with plain sockets as its clients."""

import asyncio
import logging
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.addresses import Address
from common.dump import LEVEL, Dump
from responder.behaviours.behaviour import BUFFER
from responder.engine import Engine
from tests.conftest import Run
from tests.responder.support import Clients, echoed, fill, listeners, listening, noise, receive, send, status
from tests.support import reset


@pytest.mark.usefixtures("run")
async def test_what_a_client_sends_comes_back() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        for size in (1, 4, BUFFER - 1, BUFFER, BUFFER + 1):
            await echoed(sock, noise(size, size))
        now = await engine.snapshot()
        assert now.received == now.sent == 5 + 3 * BUFFER


@pytest.mark.usefixtures("run")
async def test_an_urgent_byte_comes_back_in_its_place_and_what_follows_it_does_too() -> None:
    async with listening() as (_, (address,)), Clients() as own:
        sock = await own.connect(address)
        await echoed(sock)
        sock.send(b"abc")  # the responder does not run until all has come
        sock.send(b"d", socket.MSG_OOB)
        sock.send(b"efg")
        assert await receive(sock, 7) == b"abcdefg"


@pytest.mark.usefixtures("run")
async def test_what_the_kernel_takes_nothing_of_is_not_shown_as_sent(logged: list[logging.LogRecord]) -> None:
    """A first client tells how much the kernel takes; a second one sends as much, and then a piece more."""
    async with listening(2, sndbuf=4096) as (engine, addresses):
        await engine.set_dump(Dump(every=True, incoming=False, outgoing=True))
        most = await taken(engine, addresses[0], [100] * 1000)
        assert await taken(engine, addresses[1], [*[100] * (most // 100), most % 100 or 100, 100]) == most
        lines = [record.getMessage() for record in logged if record.levelno == LEVEL]
        assert lines
        assert not [line for line in lines if line.endswith(" 0: []")]


async def taken(engine: Engine, address: Address, pieces: list[int]) -> int:
    """Return how much of these pieces is sent back to a client that reads nothing, until not all of one is."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect(address)
        sock.setblocking(False)
        before = total = (await engine.snapshot()).received
        short = total - (await engine.snapshot()).sent
        for piece in pieces:
            await send(sock, bytes(piece))
            total += piece
            now = await status(engine, lambda now, total=total: now.received == total)  # type: ignore[misc]
            if now.sent + short < total:
                break
        return now.sent + short - before


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
