"""One session as the responder sees it."""

from typing import TYPE_CHECKING

from common.addresses import key_address

if TYPE_CHECKING:
    from responder.listener import Listener


def client_key(peer: int, port: int) -> int:
    """Return the number that a table keys a client by, from its peer's number and our port."""
    return peer << 16 | port


class Client:
    """A descriptor with its times (monotonic seconds) and what could not be sent back yet.

    `peer` is the number of the peer's address, `chain` the table's link, `unsent` None or what the kernel did not
    take, and `descriptor` -1 once the session has ended.
    """

    __slots__ = ("active", "chain", "descriptor", "listener", "peer", "since", "unsent")

    def __init__(self, descriptor: int, peer: int, listener: "Listener", now: float) -> None:
        self.descriptor = descriptor
        self.peer = peer
        self.listener = listener
        self.since = now
        self.active = now
        self.unsent: bytes | None = None
        self.chain: Client | None = None

    @property
    def key(self) -> int:
        """The number the table keys the client by: one port of a peer may speak to many of our ports."""
        return client_key(self.peer, self.listener.address.port)

    def ready(self, events: int) -> None:
        """Handle what epoll reported."""
        self.listener.echo.ready(self, events)

    def __str__(self) -> str:
        """Return both ends, the peer's first, as `list` shows them."""
        return f"{key_address(self.peer)}->{self.listener.address}"
