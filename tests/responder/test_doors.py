"""Tests of how listeners share the loop's time, with plain sockets as the clients in their queues."""

import socket
from contextlib import ExitStack
from itertools import pairwise

import pytest

from common.reactor import Job, Reactor
from common.resolver import resolve
from responder.holder import Holder
from responder.listener import Listener
from responder.listening import listen_on
from responder.settings import ECHO, Settings
from tests.responder.support import ANY_PORT

PORTS = 16
CLIENTS = 70


@pytest.mark.usefixtures("run")
async def test_others_have_their_turn_while_many_clients_wait_on_many_listeners() -> None:
    reactor, settings = Reactor(), Settings(hashsize=10)
    holder = Holder(reactor, settings)
    seen: list[int] = []

    def look() -> Job:
        while holder.accepted < PORTS * CLIENTS:
            seen.append(holder.accepted)
            yield
        seen.append(holder.accepted)

    (item,) = await resolve(ANY_PORT)
    with ExitStack() as stack:
        stack.callback(holder.close_all)
        stack.callback(reactor.close)
        listeners = [Listener(listen_on(item, settings), item, holder, holder.behaviour(ECHO)) for _ in range(PORTS)]
        for listener in listeners:
            holder.add(listener)
            for _ in range(CLIENTS):  # the loop does not run until they are all in the queues
                stack.enter_context(socket.create_connection(listener.address))
        await reactor.run(look())
        assert [listener.held for listener in listeners] == [CLIENTS] * PORTS
    assert max(after - before for before, after in pairwise([0, *seen])) < PORTS * CLIENTS / 2
