"""One local address that clients are accepted on."""

from collections.abc import Callable
from socket import SocketType
from typing import TYPE_CHECKING

from common.addresses import Address, address_key
from common.resolver import SocketAddress

if TYPE_CHECKING:
    from responder.holder import Holder


class Listener:
    """A listening socket with its counts; `key` and `chain` are for the table of listeners."""

    def __init__(self, sock: SocketType, item: SocketAddress, holder: "Holder") -> None:
        self.sock = sock
        # The public accept() makes a socket object for each client: five times the cost, and memory kept.
        self.accept: Callable[[], tuple[int, tuple[str, int]]] = sock._accept  # type: ignore[attr-defined]
        self.address = Address(item.address.host, sock.getsockname()[1])
        self.family = item.family
        self.key = address_key(*self.address)
        self.chain: Listener | None = None
        self.echo = holder.echo
        self.accepted = 0
        self.held = 0
        self._holder = holder

    def ready(self, _events: int) -> None:
        """Accept what is queued."""
        self._holder.accept(self)
