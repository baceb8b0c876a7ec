"""Tests of the serve behaviour with plain sockets as its clients."""

import asyncio
import socket

import pytest

from common.addresses import Address
from responder.behaviours.behaviour import BUFFER, CHUNK
from responder.engine import Engine
from tests.responder.support import Clients, listeners, listening, noise, receive, received, send, status, sunk
from tests.support import reset

pytestmark = pytest.mark.usefixtures("run")

REQUEST = b"GET / HTTP/1.0\r\n\r\n"
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"

# More than the kernel takes of one session while nobody reads.
HUGE = 20_000_000


async def ask(own: Clients, address: Address, request: bytes = REQUEST) -> socket.socket:
    """Return a client that has sent a request, and will send no more."""
    sock = await own.connect(address)
    await send(sock, request)
    sock.shutdown(socket.SHUT_WR)
    return sock


async def counts(engine: Engine, address: Address) -> tuple[int, int, int, int]:
    """Return a listener's counts when it has no client any more: accepted, received, sent, answers."""
    await status(engine, lambda now: not now.held)
    row = (await listeners(engine))[str(address)]
    assert row.mode == "serve"
    return row.accepted, row.received, row.sent, row.messages


@pytest.mark.parametrize("size", [0, 1, 300, CHUNK, CHUNK + 1, HUGE])
async def test_the_content_comes_back_at_the_end_of_what_is_sent(size: int) -> None:
    content = noise(size, size)
    async with listening(mode="serve", content=content) as (engine, (address,)), Clients() as own:
        for _ in range(2):
            assert await received(await ask(own, address)) == content
        assert await counts(engine, address) == (2, 2 * len(REQUEST), 2 * size, 2)
        now = await engine.snapshot()
        assert (now.losses, now.messages, now.sent) == ({}, 2, 2 * size)


async def test_nothing_comes_back_before_the_end() -> None:
    async with listening(mode="serve", content=ANSWER) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        for part in (b"GET / ", b"HTTP/1.0\r\n", b"\r\n"):
            await sunk(engine, sock, part)
        sock.shutdown(socket.SHUT_WR)
        assert await received(sock) == ANSWER


@pytest.mark.parametrize("size", [0, BUFFER, 5_000_000])
async def test_a_request_of_any_size_is_read_to_its_end(size: int) -> None:
    async with listening(mode="serve", content=ANSWER) as (engine, (address,)), Clients() as own:
        assert await received(await ask(own, address, noise(size, size))) == ANSWER
        assert await counts(engine, address) == (1, size, len(ANSWER), 1)


async def test_a_client_that_reads_late_gets_all_and_holds_nobody_up() -> None:
    content = noise(1, HUGE)
    async with listening(mode="serve", content=content) as (engine, (address,)), Clients() as own:
        late = await ask(own, address)
        await status(engine, lambda now: now.sent)
        assert await received(await ask(own, address)) == content
        now = await status(engine, lambda now: now.held == 1)
        assert (now.messages, now.losses) == (1, {})
        assert now.sent < 2 * HUGE
        assert await received(late) == content
        assert await counts(engine, address) == (2, 2 * len(REQUEST), 2 * HUGE, 2)


async def test_many_are_answered_at_once() -> None:
    async with listening(mode="serve", content=ANSWER) as (engine, (address,)), Clients() as own:
        for _ in range(5):
            socks = [await ask(own, address) for _ in range(40)]
            assert await asyncio.gather(*map(received, socks)) == [ANSWER] * 40
        assert await counts(engine, address) == (200, 200 * len(REQUEST), 200 * len(ANSWER), 200)


@pytest.mark.parametrize("content", [ANSWER, bytes(HUGE)])
async def test_a_client_that_vanishes_is_a_loss_and_no_answer(content: bytes) -> None:
    async with listening(mode="serve", content=content) as (engine, (address,)), Clients() as own:
        if content is ANSWER:
            sock = await own.connect(address)
            await sunk(engine, sock, REQUEST)
        else:
            sock = await ask(own, address)
            assert await receive(sock, 1000) == bytes(1000)
        reset(sock)
        now = await status(engine, lambda now: not now.held)
        assert (now.losses, now.messages) == ({"rst": 1}, 0)
