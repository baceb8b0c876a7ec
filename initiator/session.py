"""One session as the initiator holds it."""

import os
from collections.abc import Sequence
from enum import Enum
from select import EPOLLOUT
from time import monotonic
from typing import TYPE_CHECKING, Final

from common import reasons
from common.addresses import key_address

if TYPE_CHECKING:
    from initiator.target import Target
    from initiator.workloads.stream import Stream


class State(Enum):
    """Where a session is between its first SYN and its last FIN."""

    CONNECTING = "connecting"
    HANDSHAKE = "handshake"  # established, and TLS is about to be
    HELD = "held"
    ASKED = "asked"  # held, and an answer to a ping is awaited
    CLOSING = "closing"  # our FIN is sent, the answer still under way is awaited
    CLOSED = "closed"


# An attempt is what is not held yet.
ATTEMPTED: Final = (State.CONNECTING, State.HANDSHAKE)
HELD: Final = (State.HELD, State.ASKED)

_CONNECTING: Final = State.CONNECTING

# All that epoll reports on an attempt that has succeeded, unless the peer was quick to send something.
_CONNECTED: Final = EPOLLOUT


class Session:
    """A descriptor with its times (monotonic seconds); 0.0 stands for never.

    `since` is when the attempt began while connecting, and when the session was established from then on. `key` is
    the number of its local address, `chain` the table's link, `due` the tick it is filed under in the deadlines,
    `stream` the part of the workload that owns its stream.
    Nothing here may form a cycle that only the collector could free.
    """

    __slots__ = ("chain", "descriptor", "due", "heard", "key", "sent", "since", "state", "stream", "target")

    def __init__(self, descriptor: int, target: "Target", key: int, now: float) -> None:
        self.descriptor = descriptor
        self.target = target
        self.state = _CONNECTING
        self.since = now
        self.sent = 0.0
        self.heard = 0.0
        self.key = key
        self.chain: Session | None = None
        self.due = 0
        self.stream: Stream | None = None

    def __str__(self) -> str:
        """Return both ends, ours first, as `list` shows them."""
        return f"{key_address(self.key)}->{self.target.address}"

    def send(self, data: bytes | memoryview) -> int:
        """Return how many bytes the kernel took; raises BlockingIOError for none, OSError when the session is lost."""
        count = os.write(self.descriptor, data)
        dump = self.target.holder.dump
        if dump:
            dump.sent(self, memoryview(data)[:count], monotonic())
        return count

    def receive(self, buffers: Sequence[bytearray | memoryview]) -> int:
        """Fill the buffers, and return how many bytes came, 0 at the end; raises as `send` does."""
        return os.readv(self.descriptor, buffers)

    def notify_close(self) -> None:
        """Say to the peer what has to be said before a FIN: nothing."""

    def lost(self, failure: OSError) -> None:
        """Handle that sending failed."""
        self.target.holder.lost(self, reasons.reason_of(failure.errno))

    def mark_closed(self) -> None:
        """Take note that the descriptor is not this session's any more."""
        self.state = State.CLOSED
        self.descriptor = -1

    def ready(self, events: int) -> None:
        """Handle what epoll reported."""
        holder = self.target.holder
        if events == _CONNECTED and self.state is _CONNECTING:
            holder.connected(self)
        else:
            holder.ready(self, events)

    def expired(self) -> None:
        """Handle that the session's due time has come."""
        self.target.holder.expired(self)
