"""One remote address that sessions are opened to, with its share and its table."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from common.addresses import Address
from common.table import SessionTable
from initiator.plan import Plan, plan
from initiator.retry import Retry
from initiator.session import Session

if TYPE_CHECKING:
    from initiator.holder import Holder


class Target:
    """A share asked for, what is held of it, and what became of the rest.

    `losses` counts established sessions that ended unasked, by reason; `failures` counts attempts that came to
    nothing, by reason. `due` is the tick at which a pause of the attempts ends, 0 when there is none.
    """

    def __init__(self, address: Address, family: int, sockaddr: Any, hashsize: int, holder: "Holder") -> None:
        self.address = address
        self.family = family
        self.sockaddr = sockaddr
        self.holder = holder
        self.share = 0
        self.held = 0
        self.attempts = 0
        self.established = 0
        self.losses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.table: SessionTable[Session] = SessionTable(hashsize)
        self.retry = Retry()
        self.exhausted = False
        self.queued = False
        self.due = 0

    def plan(self) -> Plan:
        """Return what it takes to get to the share."""
        return plan(self.share, self.held, self.attempts)

    @property
    def surplus(self) -> int:
        """How many sessions, attempts included, there are above the share; negative when some are missing."""
        return self.held + self.attempts - self.share

    @property
    def may_open(self) -> bool:
        """Whether an attempt is wanted and allowed now."""
        return self.surplus < 0 and not self.due and self.attempts < self.retry.window

    def expired(self) -> None:
        """Handle that the pause is over."""
        self.holder.consider(self)
