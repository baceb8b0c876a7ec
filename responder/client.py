"""One session as the responder sees it."""

from typing import TYPE_CHECKING

from common.addresses import HIGHEST_PORT, Address, number_host

if TYPE_CHECKING:
    from responder.listener import Listener


class Client:
    """A descriptor with its times (monotonic seconds) and what could not be sent back yet.

    `key` is what the table keys it by, `chain` the table's link, `unsent` None or what the kernel has taken `position`
    bytes of, and `descriptor` -1 once the session has ended.
    """

    __slots__ = ("active", "chain", "descriptor", "key", "listener", "position", "since", "unsent")

    def __init__(self, descriptor: int, key: int, listener: "Listener", now: float) -> None:
        self.descriptor = descriptor
        self.key = key
        self.listener = listener
        self.since = now
        self.active = now
        self.unsent: bytes | None = None
        self.position = 0
        self.chain: Client | None = None

    @property
    def peer(self) -> Address:
        """The address of the peer's end."""
        return Address(number_host(self.key >> 32), self.key & HIGHEST_PORT)

    def ready(self, events: int) -> None:
        """Handle what epoll reported."""
        self.listener.behaviour.ready(self, events)

    def notify_close(self) -> None:
        """Say to the peer what has to be said before a FIN: nothing."""

    def __str__(self) -> str:
        """Return both ends, the peer's first, as `list` shows them."""
        return f"{self.peer}->{self.listener.address}"
