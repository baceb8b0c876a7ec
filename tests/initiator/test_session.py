"""Tests of one session as the initiator holds it."""

import asyncio
from socket import AF_INET

import pytest

from common.addresses import Address, address_key
from common.reactor import Reactor
from common.resolver import SocketAddress
from initiator.holder import Holder
from initiator.session import Session, State
from initiator.settings import Settings
from initiator.target import Target


async def make_target(address: Address) -> Target:
    """Make a target whose engine has ended: sessions to it are books without sockets."""
    reactor = Reactor()
    item = SocketAddress(address, AF_INET, tuple(address), address.host)
    target = Target(item, 10, Holder(reactor, Settings(seed=1)))
    reactor.close()
    return target


@pytest.fixture
def session() -> Session:
    """Give a session that has just begun."""
    return Session(7, asyncio.run(make_target(Address("10.0.0.2", 5000))), 0, 100.0)


def test_a_session_begins_with_its_attempt(session: Session) -> None:
    """At first nothing was sent or heard, and nothing is due."""
    assert (session.state, session.descriptor, session.since) == (State.CONNECTING, 7, 100.0)
    assert (session.sent, session.heard, session.due) == (0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("host", "text"), [("10.0.0.1", "10.0.0.1:32768->10.0.0.2:5000"), ("::1", "[::1]:32768->10.0.0.2:5000")]
)
def test_a_session_is_shown_by_both_ends(session: Session, host: str, text: str) -> None:
    """Our end comes first, as in `list`."""
    session.key = address_key(host, 32_768)
    assert str(session) == text


def test_a_closed_session_has_no_descriptor(session: Session) -> None:
    """A descriptor that the kernel may give out again is not remembered."""
    session.mark_closed()
    assert (session.state, session.descriptor) == (State.CLOSED, -1)


def test_a_session_has_nothing_but_its_fields(session: Session) -> None:
    """A million sessions fit because none has a dictionary of its own."""
    assert not hasattr(session, "__dict__")
    with pytest.raises(AttributeError):
        session.name = "x"  # type: ignore[attr-defined]


def test_sessions_are_found_in_their_table_by_their_own_address(session: Session) -> None:
    """A session is an entry of its target's table, keyed by its local address."""
    session.key = address_key("10.0.0.1", 32_768)
    table = session.target.table
    table.add([session])
    table.check()
    assert table.find(address_key("10.0.0.1", 32_768)) == [session]
    table.remove(session)
    assert table.find(session.key) == []
