"""Tests of the active behaviour with plain sockets as its clients."""

import asyncio
import socket
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest

from common.reactor import BEAT, Job
from responder.behaviours.behaviour import CHUNK
from responder.engine import Engine
from responder.rounds import TURN
from responder.snapshot import Snapshot
from tests.responder.support import Clients, echoed, listeners, listening, noise, receive, received, send, status, sunk
from tests.support import reset, stall

pytestmark = pytest.mark.usefixtures("run")

MESSAGES = [b"x", b"hello, world\n", noise(1, 100_000), noise(2, CHUNK + 1)]

# More than the kernel takes of one session while nobody reads.
MUCH = 10_000_000


async def stuck(engine: Engine) -> Snapshot:
    """Return the figures when nothing more is sent, for nobody reads it."""
    before = await engine.snapshot()
    while True:
        await asyncio.sleep(5 * BEAT)
        now = await engine.snapshot()
        if before.sent and now.sent == before.sent:
            return now
        before = now


def repeated(message: bytes, size: int) -> bytes:
    """Return so many bytes of the message sent again and again."""
    return (message * (size // len(message) + 1))[:size]


@pytest.mark.parametrize("message", MESSAGES)
async def test_without_a_rate_a_client_gets_as_much_as_it_takes(message: bytes) -> None:
    async with listening(mode="active", message=message) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        now = await stuck(engine)
        assert (now.messages, now.missed, now.echoed) == (now.sent // len(message), 0, 0)
        assert await receive(sock, MUCH) == repeated(message, MUCH)
        sock.shutdown(socket.SHUT_WR)
        rest = await received(sock)
        now = await status(engine, lambda now: not now.held)
        assert now.losses == {"fin": 1}
        assert MUCH + len(rest) == now.sent
        row = (await listeners(engine))[str(address)]
        assert (row.mode, row.sent, row.messages) == ("active", now.sent, now.sent // len(message))


@pytest.mark.parametrize("options", [{}, {"message_rate": 200.0}])
async def test_what_a_client_sends_is_read_and_not_answered(options: dict[str, Any]) -> None:
    async with listening(mode="active", message=b"abc", **options) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        data = noise(1, 1_000_000)
        await send(sock, data)
        await status(engine, lambda now: now.received == len(data))
        assert await receive(sock, 30) == b"abc" * 10


@pytest.mark.parametrize("options", [{}, {"message_rate": 50.0}])
@pytest.mark.parametrize("as_reset", [False, True])
async def test_the_end_of_a_client_is_counted(options: dict[str, Any], as_reset: bool) -> None:
    async with listening(mode="active", message=b"abc", **options) as (engine, (address,)), Clients() as own:
        kept, sock = await own.several(address, 2)
        await receive(sock, 6)
        if as_reset:
            reset(sock)
        else:
            sock.shutdown(socket.SHUT_WR)
        now = await status(engine, lambda now: now.held == 1)
        assert now.losses == {"rst" if as_reset else "fin": 1}
        assert await receive(kept, 9) == b"abc" * 3


@pytest.mark.parametrize("rate", [20.0, 150.0, 300.0, 5_000.0])
async def test_with_a_rate_a_client_gets_no_more_than_that_and_what_it_did_not_is_counted(rate: float) -> None:
    begin = monotonic()
    async with listening(mode="active", message=b"abc", message_rate=rate) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        await status(engine, lambda now: now.held)
        accepted = monotonic()
        count = max(10, int(rate / 2))
        assert await receive(sock, 3 * count) == b"abc" * count
        now = await engine.snapshot()
        at_once = max(1, rate * TURN * 2)
        assert count <= now.messages <= rate * (monotonic() - begin) + at_once
        # All that was due by the time was sent or is missed, but for what one round brings.
        asked = monotonic()
        await status(engine, lambda now: now.messages + now.missed >= rate * (asked - accepted) - at_once)
        assert now.sent == 3 * now.messages


async def test_clients_are_sent_to_in_turn_each_as_often() -> None:
    rate, count = 20.0, 100
    async with listening(mode="active", message=b"abc", message_rate=rate) as (engine, (address,)), Clients() as own:
        socks = await own.several(address, count)
        assert await asyncio.gather(*(receive(sock, 30) for sock in socks)) == [b"abc" * 10] * count
        now = await engine.snapshot()
        assert now.messages >= 10 * count
        assert (await listeners(engine))[str(address)].messages == now.messages


async def test_a_stall_is_not_made_up_for() -> None:
    rate, seconds = 1_000.0, 0.5
    async with listening(mode="active", message=b"abc", message_rate=rate) as (engine, (address,)), Clients() as own:
        begin = monotonic()
        sock = await own.connect(address)
        await receive(sock, 30)
        missed = (await engine.snapshot()).missed
        stall(seconds)
        now = await status(engine, lambda now: now.missed > missed)
        assert now.missed - missed >= rate * seconds * 0.8
        await receive(sock, 300)
        now = await engine.snapshot()
        assert now.messages <= rate * (monotonic() - begin - seconds) + 5 * rate * TURN


async def test_others_have_their_turn_while_those_that_missed_theirs_are_counted() -> None:
    async with listening(mode="active", message=b"abc", message_rate=1.0) as (engine, (address,)), Clients() as own:
        count = 1_000
        await own.several(address, count)
        await status(engine, lambda now: now.messages >= count)
        steps: list[int] = []

        def look() -> Job:
            active = engine._holder.behaviours["active"]
            steps.append(active.missed)
            stall(3.0)
            while steps[-1] - steps[0] < 2 * count:
                yield
                steps.append(active.missed)

        await engine._reactor.run(look())
        assert max(after - earlier for earlier, after in pairwise(steps)) < 2 * count


async def test_a_client_that_does_not_read_misses_messages_and_no_part_of_one() -> None:
    message = noise(1, 500_000)
    async with listening(mode="active", message=message, message_rate=100.0) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        now = await status(engine, lambda now: now.missed >= 20)
        assert now.messages == now.sent // len(message)
        size = now.sent + 3 * len(message)
        assert await receive(sock, size) == repeated(message, size)


async def test_sending_goes_on_when_there_are_clients_again() -> None:
    async with listening(mode="active", message=b"abc", message_rate=500.0) as (engine, (address,)), Clients() as own:
        for _ in range(3):
            sock = await own.connect(address)
            await receive(sock, 30)
            sock.close()
            now = await status(engine, lambda now: not now.held)
        assert (now.accepted, now.missed + now.messages) >= (3, 30)


@pytest.mark.parametrize("options", [{}, {"message_rate": 200.0}])
async def test_after_a_change_of_mode_messages_are_whole_and_no_more_come(options: dict[str, Any]) -> None:
    message = noise(3, 70_000)
    async with listening(mode="active", message=message, **options) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        await status(engine, lambda now: now.messages >= 5)
        assert await engine.set_mode("echo", None) == 1
        data, loop = bytearray(), asyncio.get_running_loop()
        await send(sock, b"hello")
        while not data.endswith(b"hello"):
            data += await loop.sock_recv(sock, 1 << 20)
        count, rest = divmod(len(data) - len(b"hello"), len(message))
        assert (bytes(data), rest) == (message * count + b"hello", 0)
        assert (await engine.snapshot()).messages == count
        end = monotonic() + 20 / 200
        while monotonic() < end:
            await echoed(sock)
        assert (await engine.snapshot()).messages == count


@pytest.mark.parametrize("options", [{}, {"message_rate": 200.0}])
async def test_a_client_that_is_connected_already_gets_messages(options: dict[str, Any]) -> None:
    async with listening(message=b"abc", **options) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        await echoed(sock)
        await engine.set_mode("active", None)
        assert await receive(sock, 30) == b"abc" * 10


async def test_a_client_follows_into_the_mode_and_out_of_it_as_often_as_it_changes() -> None:
    rate = 100.0
    async with listening(mode="sink", message=b"abc", message_rate=rate) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        await sunk(engine, sock, b"hello")
        begin = monotonic()
        for mode in ("active", "sink") * 20:
            await engine.set_mode(mode, None)
        await engine.set_mode("active", None)
        assert await receive(sock, 60) == b"abc" * 20
        now = await engine.snapshot()
        assert now.messages <= rate * (monotonic() - begin) + 2
