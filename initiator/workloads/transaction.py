"""One transaction of churn: connect, send, half-close, read to the end, close."""

import errno
from select import EPOLLERR, EPOLLIN, EPOLLRDHUP
from socket import MSG_MORE, MSG_NOSIGNAL, SHUT_WR, SocketType
from time import monotonic
from typing import TYPE_CHECKING, Final

from common import reasons
from common.sockets import error_of

if TYPE_CHECKING:
    from initiator.workloads.churn import Churn

# Bytes taken by one read; reads of one transaction in a row before the others have their turn.
BUFFER: Final = 1 << 16
_READS: Final = 8

_ANSWER: Final = EPOLLIN | EPOLLRDHUP
_END: Final = EPOLLRDHUP | EPOLLERR

# With MSG_MORE what is left of a request goes out with our FIN, in one segment: send(2).
WITH_FIN: Final = MSG_MORE | MSG_NOSIGNAL
ALONE: Final = MSG_NOSIGNAL


class Transaction:
    """A session with its times (monotonic seconds); 0.0 stands for never.

    `place` is how many bytes of the request the kernel took, -1 once all of it is on its way, and our FIN.
    """

    __slots__ = ("begun", "churn", "connected", "descriptor", "due", "ended", "heard", "place", "sock")

    def __init__(self, churn: "Churn", sock: SocketType, due: float, begun: float) -> None:
        self.churn = churn
        self.sock = sock
        self.descriptor = sock.fileno()
        self.due = due
        self.begun = begun
        self.connected = 0.0
        self.heard = 0.0
        self.ended = 0.0
        self.place = 0

    def send(self) -> bool:
        """Send what the kernel takes of the request, and our FIN behind it; return whether that was all.

        Before the session is established it takes nothing, and even an empty request has to wait. Raises OSError when
        the session is lost.
        """
        churn, sock, place = self.churn, self.sock, self.place
        try:
            taken = sock.send(churn.view[place:] if place else churn.request, churn.flags)
        except BlockingIOError:
            return False
        if not self.connected:
            self.connected = monotonic()
        churn.sent += taken
        if place + taken < churn.size:
            self.place = place + taken
            return False
        self.place = -1
        if not churn.resets:
            sock.shutdown(SHUT_WR)
        return True

    def ready(self, events: int) -> None:
        """Handle what epoll reported: where the peer's FIN came with all of the answer, one read tells all.

        After a reset there is one more to be made: it says so.
        """
        if self.ended:
            return
        churn = self.churn
        try:
            if self.place >= 0 and not events & EPOLLERR:
                self._go_on()
                if self.place < 0 and not churn.asks:
                    churn.complete(self, self.connected)
                    return
                if not events & _ANSWER:
                    return
            count = self.sock.recv_into(churn.buffer)
            now = monotonic()
            if count:
                self.heard = self.heard or now
                churn.received += count
                if count == BUFFER or events & _END != EPOLLRDHUP:
                    self._read_on(count, events)
                    return
            churn.complete(self, now)
        except BlockingIOError:
            return
        except OSError as failure:
            churn.fail(self, self.reason(failure))

    def reason(self, failure: OSError) -> str:
        """Return what a failure is counted under; a half-close finds no session where it has just been reset."""
        reset = failure.errno == errno.ENOTCONN
        return reasons.reason_of((error_of(self.descriptor) or errno.ECONNRESET) if reset else failure.errno)

    def _go_on(self) -> None:
        """Send until the kernel takes no more."""
        place = -1
        while 0 <= self.place != place:
            place = self.place
            self.send()

    def _read_on(self, count: int, events: int) -> None:
        """Read what is left after so many bytes, if there is more."""
        churn = self.churn
        for _ in range(_READS):
            if count < BUFFER and not events & EPOLLERR:
                if churn.resets or events & EPOLLRDHUP:
                    churn.complete(self, monotonic())
                return
            count = self.sock.recv_into(churn.buffer)
            if not count:
                churn.complete(self, monotonic())
                return
            churn.received += count
        churn.reactor.again(self, events)
