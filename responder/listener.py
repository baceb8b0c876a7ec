"""One local address that clients are accepted on."""

import sys
from collections.abc import Callable
from socket import IPPROTO_TCP, TCP_INFO, SocketType
from typing import TYPE_CHECKING, Final

from common.addresses import Address, address_key, host_number
from common.resolver import SocketAddress

if TYPE_CHECKING:
    from responder.behaviours.behaviour import Behaviour
    from responder.holder import Holder


# Where tcpi_unacked is in struct tcp_info: linux/tcp.h.
_UNACKED: Final = 24


class Listener:
    """A listening socket with its counts; `key` and `chain` are for the table of listeners.

    `behaviour` is how all clients that were accepted here are treated, those of before included.
    """

    def __init__(self, sock: SocketType, item: SocketAddress, holder: "Holder", behaviour: "Behaviour") -> None:
        self.use(sock)
        self.address = Address(item.address.host, sock.getsockname()[1])
        self.family = item.family
        self.key = address_key(*self.address)
        self.chain: Listener | None = None
        self.behaviour = behaviour
        self.accepted = 0
        self.held = 0
        self.received = 0
        self.sent = 0
        self.messages = 0
        self._holder = holder
        self._port = self.address.port << 16

    def use(self, sock: SocketType) -> None:
        """Accept on a socket."""
        self.sock = sock
        # The public accept() makes a socket object for each client: five times the cost, and memory kept.
        self.accept: Callable[[], tuple[int, tuple[str, int]]] = sock._accept  # type: ignore[attr-defined]

    def queued(self) -> int:
        """Return how many clients wait to be accepted: an accept(2) in vain costs as much as one that is not.

        For a listening socket tcpi_unacked is the length of its queue: tcp_get_info in net/ipv4/tcp.c.
        """
        info = self.sock.getsockopt(IPPROTO_TCP, TCP_INFO, _UNACKED + 4)
        return int.from_bytes(info[_UNACKED:], sys.byteorder)

    def client_key(self, peer: tuple[str, int]) -> int:
        """Return the number that the table keys a client by: one port of a peer may speak to many of our ports."""
        return host_number(peer[0]) << 32 | self._port | peer[1]

    def ready(self) -> None:
        """Accept what is queued."""
        self._holder.accept(self)
