"""A ping in the language of a workload."""

import random
import socket

import pytest

from common.deadlines import Deadlines
from common.histogram import Histogram
from common.reactor import Reactor
from initiator.session import Session, State
from initiator.target import Due
from initiator.traffic import Traffic
from initiator.workloads.ping import Ping
from initiator.workloads.stream import Stream
from tests.initiator.test_session import make_target
from tests.support import Peer, until

pytestmark = pytest.mark.usefixtures("run")

# Bytes that no kernel takes at once.
LONG = 1 << 24


class Verbose(Stream):
    """A stream in whose language nothing is short."""

    def ping(self) -> bytes:
        return bytes(LONG)


async def test_a_ping_that_the_kernel_takes_in_part_is_sent_to_its_end() -> None:
    with Peer() as peer, socket.socket() as sock:
        sock.connect(peer.address)
        sock.setblocking(False)
        theirs = await peer.accept()
        deadlines: Deadlines[Due] = Deadlines()
        reactor = Reactor()
        ping = Ping(reactor, deadlines, Histogram(), (1.0, 1.0), 60.0, random.Random(1))
        ping.enabled = True
        session = Session(sock.fileno(), await make_target(peer.address), 0, 1.0)
        session.state = State.HELD
        session.stream = stream = Verbose(session, Traffic())
        assert ping.send(session) == 0
        assert session.state is State.ASKED
        assert 0 < len(stream.unsent) == LONG - stream.traffic.sent < LONG
        heard = 0

        async def drained() -> bool:
            nonlocal heard
            try:
                heard += len(theirs.recv(1 << 22))
            except BlockingIOError:
                stream.writable()
            return heard == LONG

        await until(drained)
        reactor.close()
        assert not stream.unsent
