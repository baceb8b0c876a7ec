"""One remote address that sessions are opened to, with its share and its table."""

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from common.addresses import address_key
from common.resolver import SocketAddress
from common.table import SessionTable
from initiator.retry import Retry
from initiator.session import Session

if TYPE_CHECKING:
    from initiator.holder import Holder


class Target:
    """A share asked for, what is held of it, and what became of the rest.

    `losses` counts established sessions that ended unasked, by reason; `failures` counts attempts that came to
    nothing, by reason. `host` is the host as it was written. `due` is the tick at which a pause of the attempts ends,
    0 when there is none.
    """

    def __init__(self, item: SocketAddress, hashsize: int, holder: "Holder") -> None:
        self.address = item.address
        self.host = item.host
        self.key = address_key(*item.address)
        self.family = item.family
        self.sockaddr = item.sockaddr
        self.holder = holder
        self.share = 0
        self.held = 0
        self.attempts = 0
        self.established = 0
        self.losses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.table: SessionTable[Session] = SessionTable(hashsize)
        self.retry = Retry()
        self.queued = False
        self.due = 0

    @property
    def surplus(self) -> int:
        """How many sessions, attempts included, there are above the share; negative when some are missing."""
        return self.held + self.attempts - self.share

    @property
    def openable(self) -> int:
        """How many attempts are wanted and allowed now; not above 0 when none is."""
        if self.due:
            return 0
        return min(self.share - self.held, self.retry.window) - self.attempts

    def expired(self) -> None:
        """Handle that the pause is over."""
        self.holder.consider(self)


class Due(Protocol):
    """What may be due: a session to be pinged or closed at last, a target whose pause is over, a query's timeout."""

    due: int

    def expired(self) -> None:
        """Handle that the time has come."""
