"""What all behaviours share: reading what clients send, and sending what the kernel does not take at once."""

import os
from collections.abc import Iterable
from select import EPOLLIN, EPOLLPRI, EPOLLRDHUP
from typing import ClassVar, Final, Protocol, Self

from common import reasons
from common.reactor import EDGE, FAILED, READ, WRITE, Reactor
from responder.client import Client
from responder.settings import Settings
from responder.watch import Watch

# Bytes taken by one read, and bytes of one client before the others have their turn: a tenth of a millisecond.
BUFFER: Final = 1 << 16
SHARE: Final = 1 << 19

# Bytes given to one write.
CHUNK: Final = 1 << 18

# An urgent byte is reported by itself, for a read ends in front of it however much has come: tcp(7).
READING: Final = READ | EPOLLPRI | EDGE
WRITING: Final = WRITE | EDGE
INPUT: Final = READ | FAILED
# With any of these a read that is short does not say that no more has come.
_MORE: Final = EPOLLRDHUP | EPOLLPRI | FAILED


class Keeper(Protocol):
    """Who is told when a client's session is over."""

    def ended(self, client: Client, reason: str) -> None:
        """Count a client that ended unasked, and close our side."""

    def served(self, client: Client) -> None:
        """Close our side of a client that has got all it was to get."""


class Messages(bytes):
    """One message so many times, for all clients: it is never copied, and counted as it goes out."""

    size: int

    def __new__(cls, message: bytes, count: int = 1) -> Self:
        """Make so many of a message."""
        made = super().__new__(cls, message * count)
        made.size = len(message)
        return made


class Behaviour:
    """One object with one buffer for all clients of its mode; what it hears it discards.

    `stays` says that clients do, so that those who come in a rush may wait for each other a little.
    `events` is what a client's descriptor is registered with, `waiting` is that while something waits to be sent:
    nothing is read then. `received` and `sent` count bytes, `messages` those that were sent as a whole, `missed` those
    that were due and were not sent.
    """

    mode: ClassVar[str]
    stays: ClassVar[bool] = True
    buffer: ClassVar[int] = BUFFER

    _receive = staticmethod(os.readv)
    _transmit = staticmethod(os.write)

    def __init__(self, reactor: Reactor, keeper: Keeper, watch: Watch, _settings: Settings) -> None:
        self.events = READING
        self.waiting = WRITING
        self.received = 0
        self.sent = 0
        self.messages = 0
        self.missed = 0
        self._reactor = reactor
        self._keeper = keeper
        self._watch = watch
        self._buffer = bytearray(self.buffer)
        self._buffers = [self._buffer]
        self._view = memoryview(self._buffer)
        self._reads = SHARE // self.buffer

    def accepted(self, clients: Iterable[Client]) -> None:
        """Take note of clients that are treated like this from now on; called once for many."""

    def take_over(self, client: Client) -> None:
        """Treat a client like this that was treated otherwise so far; what waits to be sent to it is sent first."""
        self._register(client)
        self.accepted((client,))

    def ready(self, client: Client, events: int) -> None:
        """Handle what epoll reported on a client."""
        if client.descriptor < 0:
            return
        try:
            if client.unsent is not None:
                if not self._flush(client):
                    return
                events |= EPOLLIN
            if events & INPUT:
                self._read(client, events)
        except OSError as failure:
            self._keeper.ended(client, reasons.reason_of(failure.errno))

    def _took(self, _client: Client, _count: int) -> bool:
        """Do something with what is in the buffer; return whether reading goes on."""
        return True

    def _finished(self, client: Client) -> None:
        """Handle the end of what a client sends."""
        self._keeper.ended(client, reasons.FIN)

    def _read(self, client: Client, events: int) -> None:
        """Read until there is no more, it is others' turn, or something has to be sent first."""
        client.active = self._reactor.now
        descriptor, listener, watch = client.descriptor, client.listener, self._watch
        for _ in range(self._reads):
            try:
                count = self._receive(descriptor, self._buffers)
            except BlockingIOError:
                return
            if not count:
                self._finished(client)
                return
            self.received += count
            listener.received += count
            if watch.on:
                watch.received(client, self._view[:count])
            if not self._took(client, count):
                return
            if count < self.buffer:
                if not events & _MORE:
                    return
                if events & _MORE == EPOLLRDHUP:
                    # The peer's FIN came with all of that: a read would say no more.
                    self._finished(client)
                    return
        self._register(client)

    def _send(self, client: Client, data: memoryview) -> int:
        """Send, and return how much the kernel took; raises OSError when the session is lost."""
        try:
            count = self._transmit(client.descriptor, data)
        except BlockingIOError:
            return 0
        self.sent += count
        client.listener.sent += count
        if self._watch.on:
            self._watch.sent(client, data[:count])
        return count

    def _begin(self, client: Client, messages: Messages) -> bool:
        """Send messages to a client that nothing waits for; return whether the kernel took all, the rest waits."""
        client.unsent = messages
        if self._write(client):
            return True
        self._register(client)
        return False

    def _flush(self, client: Client) -> bool:
        """Send what waits; return whether the kernel took all of it, so that reading goes on."""
        before = client.position
        done = self._write(client)
        if done or client.position == before + CHUNK:
            self._register(client)
        return done

    def _write(self, client: Client) -> bool:
        """Send a part of what waits; return whether that was all."""
        unsent, before = client.unsent, client.position
        assert unsent is not None
        position = before + self._send(client, memoryview(unsent)[before : before + CHUNK])
        if type(unsent) is Messages:
            count = position // unsent.size - before // unsent.size
            self.messages += count
            client.listener.messages += count
        if position < len(unsent):
            client.position = position
            return False
        client.unsent = None
        client.position = 0
        return True

    def _register(self, client: Client) -> None:
        """Have reported on a client what matters now; what is pending already is reported again, in its turn."""
        self._reactor.modify(client.descriptor, self.events if client.unsent is None else self.waiting)
