"""The echo behaviour: what a client sends goes back to it, byte for byte, no faster than it reads."""

import os
from collections.abc import Callable
from select import EPOLLIN, EPOLLRDHUP
from typing import Final

from common import reasons
from common.reactor import EDGE, FAILED, READ, WRITE, Reactor
from responder.client import Client

# Bytes taken by one read, and reads of one client in a row before the others have their turn.
BUFFER: Final = 1 << 16
_READS: Final = 8

READING: Final = READ | EDGE
_WRITING: Final = WRITE | EDGE
_INPUT: Final = READ | FAILED
_END: Final = EPOLLRDHUP | FAILED


class Echo:
    """One buffer shared by all clients; a client keeps only what the kernel did not take."""

    def __init__(self, reactor: Reactor, ended: Callable[[Client, str], None]) -> None:
        self.received = 0
        self.sent = 0
        self._reactor = reactor
        self._ended = ended
        self._buffer = bytearray(BUFFER)
        self._buffers = [self._buffer]
        self._view = memoryview(self._buffer)

    def ready(self, client: Client, events: int) -> None:
        """Handle what epoll reported on a client."""
        if client.descriptor < 0:
            return
        try:
            if client.unsent is not None:
                if not self._flush(client, client.unsent):
                    return
                events |= EPOLLIN
            if events & _INPUT:
                self._echo(client, events)
        except OSError as failure:
            self._ended(client, reasons.reason_of(failure.errno))

    def _echo(self, client: Client, events: int) -> None:
        """Read and send back until there is no more, it is others' turn, or the client does not read."""
        client.active = self._reactor.now
        descriptor = client.descriptor
        for _ in range(_READS):
            try:
                count = os.readv(descriptor, self._buffers)
            except BlockingIOError:
                return
            if not count:
                self._ended(client, reasons.FIN)
                return
            self.received += count
            if not self._send(client, self._view[:count]):
                return
            if count < BUFFER and not events & _END:
                return
        self._reactor.again(client, events)

    def _send(self, client: Client, data: memoryview) -> bool:
        """Send, and return whether the kernel took all of it; the rest waits for room, and reading with it."""
        try:
            count = os.write(client.descriptor, data)
        except BlockingIOError:
            count = 0
        self.sent += count
        if count == len(data):
            return True
        client.unsent = bytes(data[count:])
        self._reactor.modify(client.descriptor, _WRITING)
        return False

    def _flush(self, client: Client, unsent: bytes) -> bool:
        """Send what waited for room; return whether all of it went, and reading goes on."""
        try:
            count = os.write(client.descriptor, unsent)
        except BlockingIOError:
            return False
        self.sent += count
        if count < len(unsent):
            client.unsent = unsent[count:]
            return False
        client.unsent = None
        self._reactor.modify(client.descriptor, READING)
        return True
