"""The sockets that clients are accepted on, in an epoll of their own."""

import select
from socket import SocketType
from time import monotonic
from typing import Final

from common.reactor import SLICE, Reactor
from responder.listener import Listener

_OPEN: Final = 1  # EPOLLIN, level-triggered: what is left in a queue is reported again
_SHUT: Final = 0


class Doors:
    """Listeners by their descriptors, all open or all shut.

    The epoll is one descriptor to the reactor, so that opening and shutting takes one call however many there are. And
    what is closed here can be taken out of it: other processes may have the same sockets, so the kernel does not.
    """

    def __init__(self, reactor: Reactor) -> None:
        self.listeners: dict[int, Listener] = {}
        self._epoll = select.epoll()
        self._reactor = reactor
        self._open = True
        reactor.add(self._epoll.fileno(), self, _OPEN)

    def add(self, listener: Listener) -> None:
        """Have a listener accept whenever clients wait and the doors are open; raises OSError, and changes nothing."""
        self._add(listener.sock, listener)

    def change(self, listener: Listener, sock: SocketType) -> None:
        """Let a listener go on with another socket, and close the one it has; raises OSError, and changes nothing."""
        self._add(sock, listener)
        self.remove(listener)
        listener.use(sock)

    def remove(self, listener: Listener) -> None:
        """Close a listener's socket."""
        descriptor = listener.sock.fileno()
        del self.listeners[descriptor]
        self._epoll.unregister(descriptor)
        listener.sock.close()

    def set_open(self, is_open: bool) -> None:
        """Let clients in, or let them wait."""
        if is_open != self._open:
            self._open = is_open
            self._reactor.modify(self._epoll.fileno(), _OPEN if is_open else _SHUT)

    def ready(self, _events: int) -> None:
        """Accept what waits, until the doors are shut or it is others' turn; the kernel hands out listeners in turn."""
        end = monotonic() + SLICE
        while self._open and (batch := self._epoll.poll(0, 1)):
            self.listeners[batch[0][0]].ready()
            if monotonic() >= end:
                break

    def close(self) -> None:
        """Close all sockets, at the end of the process."""
        for listener in self.listeners.values():
            listener.sock.close()
        self._epoll.close()

    def _add(self, sock: SocketType, listener: Listener) -> None:
        descriptor = sock.fileno()
        self._epoll.register(descriptor, _OPEN)
        self.listeners[descriptor] = listener
