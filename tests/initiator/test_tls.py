"""Tests of sessions that speak TLS, on real sockets of the loopback."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.errors import UsageError
from common.limits import USER_BYTES
from initiator.engine import Engine
from initiator.probes.figures import RateSettings
from initiator.settings import Settings, Tls
from initiator.snapshot import Snapshot
from initiator.tls import MOST_HANDSHAKES
from initiator.workloads.churn import ChurnSettings
from initiator.workloads.query import QuerySettings
from initiator.workloads.questions import build_question
from initiator.workloads.schedule import constant
from responder.engine import Engine as Responder
from responder.settings import Settings as ResponderSettings
from responder.settings import Tls as ResponderTls
from tests.support import PATIENCE, Peer, reset, until
from tests.tls import Certificates, TlsPeer

pytestmark = pytest.mark.usefixtures("run")


@asynccontextmanager
async def responding(tls: ResponderTls | None, **options: Any) -> AsyncIterator[tuple[Responder, Address]]:
    """Give a responder with one listener, and its address."""
    async with aclosing(Responder(ResponderSettings(tls=tls, **options))) as responder:
        (address,) = await responder.add_listeners(Endpoint("127.0.0.1", 0, 0))
        yield responder, address


@asynccontextmanager
async def initiating(
    address: Address, tls: Tls | None, host: str = "127.0.0.1", **settings: Any
) -> AsyncIterator[Engine]:
    """Give an initiator with one target, as one would write it."""
    async with aclosing(Engine(Settings(**{"seed": 1, "connect_timeout": PATIENCE, "tls": tls, **settings}))) as engine:
        await engine.add_targets(Endpoint(host, address.port, address.port), 10)
        yield engine


def shown(certificates: Certificates) -> ResponderTls:
    """Return what a responder is told that shows the right certificate."""
    return ResponderTls(certificates.cert, certificates.key)


async def status(engine: Engine | Responder, check: Callable[[Any], object]) -> Any:
    """Return the first snapshot that a check holds of."""
    found: list[Any] = []

    async def checked() -> bool:
        found[:] = [await engine.snapshot()]
        return bool(check(found[0]))

    await until(checked)
    return found[0]


async def failing(engine: Engine, reason: str) -> Snapshot:
    """Return the status when attempts fail for a reason, and see that they fail for no other."""
    now: Snapshot = await status(engine, lambda now: now.failures.get(reason, 0) > 1)
    assert set(now.failures) == {reason}
    assert (now.held, now.established, now.losses) == (0, 0, {})
    latencies = await engine.latencies()
    assert latencies.tls.raw.count == latencies.connect.raw.count == 0
    return now


async def test_a_session_is_held_when_its_handshake_is_done(certificates: Certificates) -> None:
    """Each has its latencies, the connect without the handshake, and echoes come back over all of them."""
    async with responding(shown(certificates)) as (responder, address):
        async with initiating(address, Tls(certificates.ca)) as engine:
            await engine.set_sessions(300, None)
            await engine.wait_held()
            latencies = await engine.latencies()
            assert latencies.connect.raw.count == latencies.tls.raw.count == 300
            assert latencies.connect.raw.percentiles((50,))[0] < latencies.tls.raw.percentiles((50,))[0]
            await engine.set_ping_interval((0.01, 0.1))
            await engine.set_ping(True)
            now = await status(engine, lambda now: now.confirmed == 300 and now.pings_answered > 600)
            assert (now.held, now.attempts, now.losses, now.failures) == (300, 0, {}, {})
            await engine.set_ping(False)
            await engine.set_sessions(100, None)
            await engine.wait_held()
            now = await status(responder, lambda now: now.held == 100)
            assert now.losses == {"fin": 200}
        assert (await status(responder, lambda now: not now.held)).losses == {"fin": 300}


async def test_a_demand_reckons_with_the_memory_of_tls(certificates: Certificates) -> None:
    """It is that of neither daemon without, nor of the other one."""
    async with responding(shown(certificates)) as (responder, address), initiating(address, Tls()) as engine:
        demands = [await engine.demand(1000), await responder.demand(1000)]
    async with responding(None) as (responder, address), initiating(address, None) as engine:
        demands += [await engine.demand(1000), await responder.demand(1000)]
    assert [demand.user_bytes for demand in demands] == [36_000, 20_000, USER_BYTES, USER_BYTES]


async def test_sessions_that_are_held_already_have_a_lifetime_too(certificates: Certificates) -> None:
    async with responding(shown(certificates)) as (_, address), initiating(address, Tls(certificates.ca)) as engine:
        await engine.set_sessions(20, None)
        await engine.wait_held()
        await engine.set_lifetime(0.1)
        await status(engine, lambda now: now.replaced >= 20)


async def test_until_then_it_is_an_attempt(certificates: Certificates) -> None:
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            server = TlsPeer(await peer.accept(), certificates.server())
            now = await engine.snapshot()
            assert (now.held, now.attempts, now.established) == (0, 1, 0)
            await server.shake()
            await engine.wait_held()
            now = await engine.snapshot()
            assert (now.held, now.attempts, now.established) == (1, 0, 1)


async def test_an_attempt_whose_handshake_is_under_way_may_be_too_many(certificates: Certificates) -> None:
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            sock = await peer.accept()
            await asyncio.get_running_loop().sock_recv(sock, 1)
            await engine.set_sessions(0, None)
            now = await status(engine, lambda now: not now.attempts)
            assert (now.held, now.losses, now.failures) == (0, {}, {})


@pytest.mark.parametrize(
    ("ca", "name", "certificate", "host", "why"),
    [
        ("ca", None, "wrong", "127.0.0.1", "IP address mismatch, certificate is not valid for '127.0.0.1'."),
        ("ca", "localhost", "wrong", "127.0.0.1", "Hostname mismatch, certificate is not valid for 'localhost'."),
        ("ca", None, "wrong", "localhost", "Hostname mismatch, certificate is not valid for 'localhost'."),
        ("stranger", None, "both", "127.0.0.1", "unable to get local issuer certificate"),
    ],
)
async def test_a_certificate_that_does_not_do_fails_the_attempt(
    certificates: Certificates,
    logged: list[logging.LogRecord],
    ca: str,
    name: str | None,
    certificate: str,
    host: str,
    why: str,
) -> None:
    """The log says what is wrong, the target pauses, and the responder counts clients that gave up."""
    file = getattr(certificates, certificate)
    async with responding(ResponderTls(file, file)) as (responder, address):
        async with initiating(address, Tls(getattr(certificates, ca), name), host) as engine:
            assert (await failing(engine, "tls")).pausing_targets
        told = [record.getMessage() for record in logged if record.levelno == logging.INFO]
        assert any(line.endswith(f" failed: certificate verify failed: {why}") for line in told), told
        now = await status(responder, lambda now: not now.held)
        assert set(now.losses) == {"tls"}


@pytest.mark.parametrize(
    ("name", "certificate", "host"),
    [
        (None, "both", "127.0.0.1"),
        (None, "both", "localhost"),
        ("localhost", "both", "127.0.0.1"),
        ("www.example.com", "wrong", "127.0.0.1"),
    ],
)
async def test_the_name_that_is_verified_is_the_one_that_is_given_or_the_host(
    certificates: Certificates, name: str | None, certificate: str, host: str
) -> None:
    file = getattr(certificates, certificate)
    async with (
        responding(ResponderTls(file, file)) as (_, address),
        initiating(address, Tls(certificates.ca, name), host) as engine,
    ):
        await engine.wait_held()


@pytest.mark.parametrize(("name", "sent"), [("localhost", "localhost"), (None, None)])
async def test_a_name_is_told_to_the_server_and_an_address_is_not(
    certificates: Certificates, name: str | None, sent: str | None
) -> None:
    """RFC 6066, 3: no literal addresses."""
    heard: list[str | None] = []
    context = certificates.server()
    context.sni_callback = lambda _ssl, name, _context: heard.append(name)
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca, name)) as engine:
            await TlsPeer(await peer.accept(), context).shake()
            await engine.wait_held()
    assert heard == [sent]


async def test_nothing_is_verified_where_that_is_asked_for(certificates: Certificates) -> None:
    async with (
        responding(ResponderTls(certificates.wrong, certificates.wrong)) as (_, address),
        initiating(address, Tls(verify=False)) as engine,
    ):
        await engine.wait_held()


async def test_a_server_that_speaks_no_tls_fails_the_attempt(certificates: Certificates) -> None:
    async with responding(None) as (_, address), initiating(address, Tls(certificates.ca)) as engine:
        await failing(engine, "tls")


@pytest.mark.parametrize(("ends", "reason"), [("fin", "fin"), ("rst", "rst")])
async def test_a_peer_that_ends_the_handshake_fails_the_attempt(
    certificates: Certificates, ends: str, reason: str
) -> None:
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            for _ in range(2):
                sock = await peer.accept()
                await asyncio.get_running_loop().sock_recv(sock, 1 << 16)
                if ends == "rst":
                    reset(sock)
                else:
                    sock.close()
            await failing(engine, reason)


async def test_a_server_that_says_nothing_is_given_up(certificates: Certificates) -> None:
    """The handshake has what is left of the time of the attempt."""
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca), connect_timeout=0.2) as engine:
            await failing(engine, "timeout")


async def test_a_handshake_that_goes_on_for_too_long_is_given_up(certificates: Certificates) -> None:
    """A byte now and then gains no time."""
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca), connect_timeout=0.5) as engine:
            sock = await peer.accept()
            sock.send(b"\x16\x03\x03\x40\x00")

            async def given_up() -> bool:
                with suppress(OSError):
                    sock.send(b"\0")
                return bool((await engine.snapshot()).failures)

            await until(given_up)
            assert (await engine.snapshot()).failures == {"timeout": 1}


async def test_a_notified_close_is_a_fin(certificates: Certificates) -> None:
    """Its sender may keep the connection, waiting for ours."""
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            server = await TlsPeer(await peer.accept(), certificates.server()).shake()
            await engine.wait_held()
            await server.notify_close()
            now = await status(engine, lambda now: now.losses)
            assert now.losses == {"fin": 1}
            assert await server.receive() == b""


async def test_an_alert_behind_the_handshake_is_a_loss(certificates: Certificates) -> None:
    """In TLS 1.3 the client is done first: a server that wants a certificate says so when the session is held."""
    context = certificates.server()
    context.load_verify_locations(certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            server = TlsPeer(await peer.accept(), context)
            with pytest.raises(OSError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
                await server.shake()
            await server.flush()
            now = await status(engine, lambda now: now.losses)
            assert now.losses == {"tls": 1}


async def test_what_was_changed_on_the_way_is_a_loss(certificates: Certificates) -> None:
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            server = await TlsPeer(await peer.accept(), certificates.server()).shake()
            await engine.wait_held()
            await asyncio.get_running_loop().sock_sendall(server.sock, b"\x17\x03\x03\x00\x20" + bytes(32))
            assert (await status(engine, lambda now: now.losses)).losses == {"tls": 1}


async def test_a_close_is_notified(certificates: Certificates) -> None:
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            server = await TlsPeer(await peer.accept(), certificates.server()).shake()
            await engine.wait_held()
            assert await engine.drop(1, reset=False) == 1
            assert await server.receive() == b""
            again = await TlsPeer(await peer.accept(), certificates.server()).shake()
            await engine.wait_held()
            assert await engine.drop(1, reset=True) == 1
            with pytest.raises(ConnectionResetError):
                await again.receive()
            last = await TlsPeer(await peer.accept(), certificates.server()).shake()
            await engine.wait_held()
        assert await last.receive() == b""


async def test_a_session_that_waits_for_an_answer_is_closed_behind_it(certificates: Certificates) -> None:
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            server = await TlsPeer(await peer.accept(), certificates.server()).shake()
            await engine.wait_held()
            await engine.set_ping_interval((0.01, 0.02))
            await engine.set_ping(True)
            assert await server.receive(4) == b"PING"
            await engine.set_sessions(0, None)
            assert await server.receive() == b""
            await server.send(b"PONG")
            await server.notify_close()
            now = await status(engine, lambda now: not now.held)
            assert now.losses == {}


async def test_queries_are_answered_however_large_they_are_together(certificates: Certificates) -> None:
    """More than the kernel takes at once, in both directions, over few sessions: nothing is lost."""
    questions = (build_question("a" * 60 + ".example.com", "A", edns=False, dnssec=False),)
    async with (
        responding(shown(certificates), rcvbuf=4096, sndbuf=4096) as (_, address),
        initiating(address, Tls(certificates.ca)) as engine,
    ):
        await engine.set_sessions(3, None)
        await engine.wait_held()
        await engine.start_query(QuerySettings(constant(20_000), 1, questions, seconds=0.5, timeout=20.0))
        await engine.wait_query()
        query = (await engine.snapshot()).query
        assert query
        assert query.sent == query.answered > 8000
        assert (query.malformed, query.unknown, query.lost, query.timeouts) == (0, 0, 0, 0)


async def test_queries_wait_for_a_server_that_does_not_read(certificates: Certificates) -> None:
    """They wait as ciphertext and as queries, and all of them come when it reads: each whole, and in order."""
    questions = (build_question("a" * 60 + ".example.com", "A", edns=False, dnssec=False),)
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            server = await TlsPeer(await peer.accept(), certificates.server()).shake()
            server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            await engine.wait_held()
            await engine.start_query(QuerySettings(constant(100_000), 1, questions, "constant", 0.6, timeout=20.0))
            now = await status(engine, lambda now: now.query and now.query.sent == 60_000)
            size = len(questions[0].message(0))
            assert now.traffic.sent < now.query.sent * size
            for _ in range(600):
                await server.send(await server.receive(100 * size))
            now = await status(engine, lambda now: not now.query.running)
            assert now.query.answered == now.query.sent == 60_000
            assert now.losses == {}


async def test_so_many_handshakes_are_under_way_at_most(certificates: Certificates) -> None:
    """Those that cannot go on yet are not begun, or they would be given up for our own slowness."""
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            await TlsPeer(await peer.accept(), certificates.server()).shake()
            await engine.wait_held()
            # One at first, one more with each success: it takes as many successes to get there.
            await engine.set_sessions(3 * MOST_HANDSHAKES, None)
            most = 0
            for _ in range(2 * MOST_HANDSHAKES):
                server = TlsPeer(await peer.accept(), certificates.server())
                most = max(most, (await engine.snapshot()).attempts)
                await server.shake()
            assert most == MOST_HANDSHAKES


async def test_an_authority_that_cannot_be_read_is_refused(certificates: Certificates) -> None:
    with pytest.raises(UsageError, match="cannot be used as certificates"):
        Engine(Settings(seed=1, tls=Tls(certificates.key)))


async def test_sessions_that_cannot_speak_tls_are_refused(certificates: Certificates) -> None:
    with Peer() as peer:
        async with initiating(peer.address, Tls(certificates.ca)) as engine:
            with pytest.raises(UsageError, match="speak no TLS"):
                await engine.start_churn((10.0,), ChurnSettings())
            with pytest.raises(UsageError, match="speak no TLS"):
                await engine.start_probe(RateSettings())
