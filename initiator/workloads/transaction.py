"""One transaction of churn: connect, send, half-close, read to the end, close."""

from select import EPOLLERR, EPOLLIN, EPOLLRDHUP
from socket import MSG_MORE, MSG_NOSIGNAL, SHUT_WR, SO_LINGER, SOL_SOCKET, SocketType
from struct import pack
from time import monotonic
from typing import TYPE_CHECKING, Final

from common import reasons

if TYPE_CHECKING:
    from initiator.workloads.churn import Churn

# Bytes taken by one read; reads of one transaction in a row before the others have their turn.
BUFFER: Final = 1 << 16
_READS: Final = 8

_NO_LINGER: Final = pack("ii", 1, 0)
_ANSWER: Final = EPOLLIN | EPOLLRDHUP | EPOLLERR
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

    def send(self) -> None:
        """Send what the kernel takes of the request, and our FIN behind it; raises BlockingIOError if it takes none.

        Before the session is established it takes none, and even an empty request has to wait.
        """
        churn, sock, place = self.churn, self.sock, self.place
        taken = sock.send(churn.view[place:] if place else churn.request, churn.flags)
        if not self.connected:
            self.connected = monotonic()
        churn.sent += taken
        place += taken
        if place < churn.size:
            self.place = place
            return
        self.place = -1
        if not churn.resets:
            sock.shutdown(SHUT_WR)

    def ready(self, events: int) -> None:
        """Handle what epoll reported."""
        if self.ended:
            return
        try:
            if self.place >= 0 and not events & EPOLLERR:
                self._go_on()
            if events & _ANSWER:
                self._read(events)
        except BlockingIOError:
            return
        except OSError as failure:
            self.churn.fail(self, reasons.reason_of(failure.errno))

    def _go_on(self) -> None:
        """Send until the kernel takes no more."""
        try:
            while self.place >= 0:
                self.send()
        except BlockingIOError:
            return

    def _read(self, events: int) -> None:
        """Take what has come; where the peer's FIN came with all of it, there is nothing more to be read.

        After a reset the next read says so.
        """
        churn, buffer, receive = self.churn, self.churn.buffer, self.sock.recv_into
        for _ in range(_READS):
            count = receive(buffer)
            if not count:
                churn.complete(self)
                return
            churn.received += count
            if not self.heard:
                self.heard = monotonic()
            if count < BUFFER and not events & EPOLLERR:
                if events & EPOLLRDHUP or churn.resets:
                    churn.complete(self)
                return
        churn.reactor.again(self, events)

    def close(self, reset: bool) -> None:
        """Give the descriptor back; a session that has not ended is reset rather than left to the kernel."""
        if reset:
            self.sock.setsockopt(SOL_SOCKET, SO_LINGER, _NO_LINGER)
        self.sock.close()
