"""Tests of the modes over TLS: they do what they do without, byte for byte, for slow clients as well."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from common.reactor import BEAT
from responder.engine import Engine
from responder.settings import MODES, Tls
from responder.snapshot import Snapshot
from tests.responder.support import Clients, listening, noise, status
from tests.responder.test_tls import echoed, shaken
from tests.support import until
from tests.tls import Certificates, TlsPeer

pytestmark = pytest.mark.usefixtures("run")

LARGE = 3_000_000

# Bytes of a buffer that is small, and not so small that the kernel waits before it fills it.
BUFFER = 1 << 16

MESSAGE = b"hello from here\n"
CONTENT = noise(7, 2_000_000)


@pytest.fixture
def tls(certificates: Certificates) -> Tls:
    """Give what a responder is told that shows the right certificate."""
    return Tls(certificates.cert, certificates.key)


async def settled(engine: Engine, figure: Callable[[Snapshot], int]) -> int:
    """Return a figure when it has not changed for so long that it will not."""
    found = [-1]

    async def unchanged() -> bool:
        await asyncio.sleep(5 * BEAT)
        found.append(figure(await engine.snapshot()))
        return found[-1] == found[-2]

    await until(unchanged)
    return found[-1]


@pytest.mark.parametrize("size", [LARGE, 16_384, 16_385, 1])
async def test_an_echo_is_the_same_byte_for_byte(tls: Tls, certificates: Certificates, size: int) -> None:
    data = noise(1, size)
    async with listening(tls=tls) as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        sending = asyncio.create_task(peer.send(data))
        assert await peer.receive(size) == data
        await sending
        now = await engine.snapshot()
        assert (now.received, now.echoed) == (size, size)


async def test_a_client_that_does_not_read_is_not_read(tls: Tls, certificates: Certificates) -> None:
    """What it sends waits at its own end, others are echoed, and in the end all comes back, with the end behind it."""
    data = noise(2, LARGE)
    async with listening(tls=tls, rcvbuf=BUFFER, sndbuf=BUFFER) as (engine, (address,)), Clients() as there:
        slow, other = [await shaken(there, address, certificates) for _ in range(2)]

        async def send_all() -> None:
            await slow.send(data)
            await slow.notify_close()

        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            slow.sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        sending = asyncio.create_task(send_all())
        received = await settled(engine, lambda now: now.received)
        assert 0 < received < LARGE
        await echoed(other)
        assert not sending.done()
        assert await slow.receive() == data
        await sending
        assert (await status(engine, lambda now: now.held == 1)).losses == {"fin": 1}


async def test_an_end_behind_an_echo_that_waits_is_noticed_when_it_is_gone(
    tls: Tls, certificates: Certificates
) -> None:
    """The end is there in the same moment as the last of what is to be echoed."""
    data = noise(3, 200_000)
    async with listening(tls=tls, sndbuf=4096) as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await peer.send(data)
        await peer.notify_close()
        peer.sock.shutdown(socket.SHUT_WR)
        assert await peer.receive() == data
        assert (await status(engine, lambda now: not now.held)).losses == {"fin": 1}


async def test_what_is_sunk_is_counted_and_not_answered(tls: Tls, certificates: Certificates) -> None:
    data = noise(4, LARGE)
    async with listening(tls=tls, mode="sink") as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        await peer.send(data)
        await peer.notify_close()
        assert await peer.receive() == b""
        now = await status(engine, lambda now: not now.held)
        assert (now.received, now.sent, now.losses) == (LARGE, 0, {"fin": 1})


@pytest.mark.parametrize("rate", [None, 200.0])
async def test_messages_are_whole_and_counted(tls: Tls, certificates: Certificates, rate: float | None) -> None:
    """None goes out before the handshake is done, as fast as it goes or so many a second."""
    settings: dict[str, Any] = {"mode": "active", "message": MESSAGE, "message_rate": rate, "sndbuf": 4096}
    async with listening(tls=tls, **settings) as (engine, (address,)), Clients() as there:
        sock = await there.connect(address)
        await status(engine, lambda now: now.held == 1)
        peer = await TlsPeer(sock, certificates.client(), "localhost").shake()
        count = 20 if rate else 50_000
        assert await peer.receive(count * len(MESSAGE)) == count * MESSAGE
        now = await status(engine, lambda now: now.messages >= count)
        peer.sock.shutdown(socket.SHUT_WR)
        assert (await status(engine, lambda now: not now.held)).losses == {"fin": 1}
        assert now.sent >= count * len(MESSAGE)


async def test_the_end_of_a_client_that_takes_nothing_is_noticed(tls: Tls, certificates: Certificates) -> None:
    async with listening(tls=tls, mode="active", message=MESSAGE) as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        assert await settled(engine, lambda now: now.sent)
        await peer.notify_close()
        assert (await status(engine, lambda now: not now.held)).losses == {"fin": 1}


@pytest.mark.parametrize("content", [CONTENT, b"x", b""], ids=["large", "one byte", "empty"])
async def test_an_answer_is_whole_before_the_end(tls: Tls, certificates: Certificates, content: bytes) -> None:
    """However slowly it is read; the client is no loss, and hears that the end is one."""
    settings: dict[str, Any] = {"mode": "serve", "content": content, "sndbuf": 16_384}
    async with listening(tls=tls, **settings) as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        await peer.send(b"GET")
        await peer.notify_close()
        await status(engine, lambda now: now.received == 3)
        assert await peer.receive() == content
        now = await status(engine, lambda now: not now.held)
        assert (now.losses, now.messages, now.sent) == ({}, 1, len(content))


@pytest.mark.parametrize("mode", MODES)
async def test_a_mode_changes_for_clients_before_behind_and_in_their_handshake(
    tls: Tls, certificates: Certificates, mode: str
) -> None:
    settings: dict[str, Any] = {"message": MESSAGE, "message_rate": 100.0, "content": b"answer"}
    async with listening(tls=tls, **settings) as (engine, (address,)), Clients() as there:
        behind = await shaken(there, address, certificates)
        await echoed(behind)
        sock = await there.connect(address)
        await status(engine, lambda now: now.held == 2)
        assert await engine.set_mode(mode, None) == 1
        before = await TlsPeer(sock, certificates.client(), "localhost").shake()
        for peer in (behind, before, await shaken(there, address, certificates)):
            if mode == "active":
                assert await peer.receive(2 * len(MESSAGE)) == 2 * MESSAGE
                continue
            await peer.send(b"question")
            await peer.notify_close()
            assert await peer.receive() == {"echo": b"question", "sink": b"", "serve": b"answer"}[mode]


async def test_the_marker_and_the_dump_see_plaintext(tls: Tls, certificates: Certificates) -> None:
    async with listening(tls=tls, marker=True) as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        await echoed(peer, b"SessionerTS-0000000000000001.")
        now = await engine.snapshot()
        assert now.marker
        assert now.marker.messages == 1
