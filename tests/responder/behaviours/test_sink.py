"""Tests of the sink behaviour with plain sockets as its clients."""

import asyncio
import socket

import pytest

from responder.behaviours.sink import Sink
from tests.responder.support import ANY_PORT, Clients, echoed, listeners, listening, noise, received, send, status
from tests.support import reset

pytestmark = pytest.mark.usefixtures("run")

SIZES = [0, 1, Sink.buffer - 1, Sink.buffer, Sink.buffer + 1, 20_000_000]


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("size", SIZES)
async def test_what_a_client_sends_is_counted_and_nothing_comes_back(size: int, watched: bool) -> None:
    async with listening(mode="sink", marker=watched) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        await send(sock, noise(size, size))
        sock.shutdown(socket.SHUT_WR)
        assert await received(sock) == b""
        now = await status(engine, lambda now: not now.held)
        assert (now.received, now.sent, now.messages, now.losses) == (size, 0, 0, {"fin": 1})
        row = (await listeners(engine))[str(address)]
        assert (row.mode, row.received, row.sent, row.messages) == ("sink", size, 0, 0)


async def test_a_client_that_is_reset_is_lost() -> None:
    async with listening(mode="sink") as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        await send(sock, bytes(100))
        await status(engine, lambda now: now.received == 100)
        reset(sock)
        now = await status(engine, lambda now: not now.held)
        assert now.losses == {"rst": 1}


async def test_many_that_send_without_end_leave_the_others_their_turn() -> None:
    async with listening(mode="sink") as (engine, (address,)), Clients() as own:
        (other,) = await engine.add_listeners(ANY_PORT)
        chunk = bytes(1 << 18)
        stopped = False

        async def flood(sock: socket.socket) -> int:
            sent = 0
            while not stopped:
                await send(sock, chunk)
                sent += len(chunk)
            return sent

        flooding = [asyncio.create_task(flood(sock)) for sock in await own.several(address, 20)]
        await status(engine, lambda now: now.received > 50_000_000)
        for number, sock in enumerate(await own.several(other, 3)):
            await echoed(sock, noise(number, 100_000))
        stopped = True
        total = sum(await asyncio.gather(*flooding))
        await status(engine, lambda now: now.received == total + 300_000)
        rows = await listeners(engine)
        assert (rows[str(address)].received, rows[str(other)].received) == (total, 300_000)
