"""Tests of clients that speak TLS, or should, on real sockets of the loopback."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from common.addresses import Address
from common.errors import UsageError
from responder.engine import Engine
from responder.settings import Settings, Tls
from tests.responder.support import Clients, clients, listening, name, send, status
from tests.support import reset
from tests.tls import Certificates, TlsPeer

pytestmark = pytest.mark.usefixtures("run")


@pytest.fixture
def tls(certificates: Certificates) -> Tls:
    """Give what a responder is told that shows the right certificate."""
    return Tls(certificates.cert, certificates.key)


async def shaken(there: Clients, address: Address, certificates: Certificates) -> TlsPeer:
    """Return a new client whose handshake is done."""
    return await TlsPeer(await there.connect(address), certificates.client(), "localhost").shake()


async def echoed(peer: TlsPeer, data: bytes = b"hello") -> None:
    """Return when some data has come back as it was."""
    await peer.send(data)
    assert await peer.receive(len(data)) == data


async def test_a_client_is_counted_before_its_handshake_and_answered_after_it(
    tls: Tls, certificates: Certificates
) -> None:
    async with listening(tls=tls) as (engine, (address,)), Clients() as there:
        sock = await there.connect(address)
        await status(engine, lambda now: (now.held, now.accepted) == (1, 1))
        peer = await TlsPeer(sock, certificates.client(), "localhost").shake()
        await echoed(peer)
        now = await engine.snapshot()
        assert (now.received, now.echoed, now.losses) == (5, 5, {})


async def test_many_clients_come_at_once(tls: Tls, certificates: Certificates) -> None:
    async with listening(2, tls=tls) as (engine, addresses), Clients() as there:
        context = certificates.client()
        socks = [await there.connect(addresses[number % 2]) for number in range(100)]
        peers = await asyncio.gather(*(TlsPeer(sock, context, "127.0.0.1").shake() for sock in socks))
        await asyncio.gather(*(echoed(peer, bytes([number])) for number, peer in enumerate(peers)))
        now = await engine.snapshot()
        assert (now.held, now.received, now.losses) == (100, 100, {})


@pytest.mark.parametrize(
    ("garbage", "why"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", "http request"),
        (b"PING" * 20_000, "wrong version number"),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", "length too short"),
    ],
    ids=["http", "more than is read at once", "an empty hello"],
)
async def test_garbage_ends_its_client_and_disturbs_nobody(
    tls: Tls, certificates: Certificates, logged: list[logging.LogRecord], garbage: bytes, why: str
) -> None:
    async with listening(tls=tls) as (engine, (address,)), Clients() as there:
        before = await shaken(there, address, certificates)
        sock = await there.connect(address)
        peer = name(sock)
        await send(sock, garbage)
        now = await status(engine, lambda now: now.losses)
        assert (now.losses, now.held, now.accepted, now.received) == ({"tls": 1}, 1, 2, 0)
        await echoed(before)
        await echoed(await shaken(there, address, certificates))
    assert f"Handshake with {peer} failed: {why}" in [record.getMessage() for record in logged]


@pytest.mark.parametrize("already", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"], ids=["nothing", "half a hello"])
@pytest.mark.parametrize(("ends", "reason"), [("fin", "fin"), ("rst", "rst")])
async def test_a_client_may_end_before_its_handshake(tls: Tls, already: bytes, ends: str, reason: str) -> None:
    async with listening(tls=tls) as (engine, (address,)), Clients() as there:
        sock = await there.connect(address)
        await status(engine, lambda now: now.held == 1)
        await send(sock, already)
        if ends == "rst":
            reset(sock)
        else:
            sock.shutdown(socket.SHUT_WR)
        assert (await status(engine, lambda now: not now.held)).losses == {reason: 1}


async def test_a_hello_may_come_byte_by_byte(tls: Tls, certificates: Certificates) -> None:
    async with listening(tls=tls) as (_, (address,)), Clients() as there:
        sock = await there.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = TlsPeer(sock, certificates.client(), "localhost")
        with pytest.raises(ssl.SSLWantReadError):
            peer.ssl.do_handshake()
        for byte in peer.outgoing.read():
            await send(sock, bytes([byte]))
            await asyncio.sleep(0)
        await peer.shake()
        await echoed(peer)


async def test_a_client_that_refuses_the_certificate_is_a_loss(tls: Tls) -> None:
    async with listening(tls=tls) as (engine, (address,)), Clients() as there:
        peer = TlsPeer(await there.connect(address), ssl.create_default_context(), "localhost")
        with pytest.raises(ssl.SSLCertVerificationError):
            await peer.shake()
        await peer.flush()
        assert (await status(engine, lambda now: not now.held)).losses == {"tls": 1}


async def test_what_was_changed_on_the_way_is_a_loss(tls: Tls, certificates: Certificates) -> None:
    async with listening(tls=tls) as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        await send(peer.sock, b"\x17\x03\x03\x00\x20" + bytes(32))
        assert (await status(engine, lambda now: not now.held)).losses == {"tls": 1}


async def test_a_notified_close_is_a_fin_and_is_answered(tls: Tls, certificates: Certificates) -> None:
    """Its sender may keep the connection until then."""
    async with listening(tls=tls) as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        await peer.send(b"last")
        await peer.notify_close()
        assert await peer.receive() == b"last"
        assert (await status(engine, lambda now: not now.held)).losses == {"fin": 1}


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda peer: peer.sock.shutdown(socket.SHUT_WR), "fin"),
        (lambda peer: peer.sock.close(), "fin"),
        (lambda peer: reset(peer.sock), "rst"),
    ],
    ids=["half", "whole", "reset"],
)
async def test_an_end_without_notice_is_what_it_is(
    tls: Tls, certificates: Certificates, end: Callable[[TlsPeer], Any], reason: str
) -> None:
    async with listening(tls=tls) as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        await echoed(peer)
        end(peer)
        assert (await status(engine, lambda now: not now.held)).losses == {reason: 1}


async def test_a_client_is_dropped_with_notice_or_by_reset(tls: Tls, certificates: Certificates) -> None:
    async with listening(tls=tls) as (engine, (address,)), Clients() as there:
        peer = await shaken(there, address, certificates)
        await echoed(peer)
        assert await engine.drop(name(peer.sock), reset=False) == 1
        assert await peer.receive() == b""
        peer = await shaken(there, address, certificates)
        await echoed(peer)
        assert await engine.drop(name(peer.sock), reset=True) == 1
        with pytest.raises(ConnectionResetError):
            await peer.receive()
        sock = await there.connect(address)
        await status(engine, lambda now: now.held == 1)
        assert [row.peer for row in await clients(engine)] == [str(name(sock))]
        assert await engine.drop(1, reset=False) == 1
        assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""
        assert (await engine.snapshot()).losses == {}


async def test_the_end_of_the_responder_is_notified(tls: Tls, certificates: Certificates) -> None:
    async with Clients() as there:
        async with listening(tls=tls) as (_, (address,)):
            peer = await shaken(there, address, certificates)
            await echoed(peer)
        assert await peer.receive() == b""


async def test_a_certificate_that_cannot_be_used_is_refused(certificates: Certificates) -> None:
    with pytest.raises(UsageError, match="key values mismatch"):
        Engine(Settings(tls=Tls(certificates.cert, certificates.wrong)))
