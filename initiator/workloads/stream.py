"""What a workload that owns the sessions' streams is to the holder."""

from typing import TYPE_CHECKING, ClassVar, Final, Generic, Protocol, TypeVar

from initiator.traffic import Traffic

if TYPE_CHECKING:
    from initiator.session import Session


S = TypeVar("S", bound="Stream")

# The place of a stream that is in no list, and that nothing is sent on any more.
NOWHERE: Final = -1


# Bytes that are read at once where each few of them are looked at: well under a millisecond's work.
SLOW_READ: Final = 2048


class Stream:
    """A workload's part of one session: it sends, takes what is heard, and is told what becomes of the session.

    `unsent` is what the kernel did not take. Where `throttled`, the workload reads itself when it is time to. What is
    heard takes it time where it is `slow`, so little is read at once.
    """

    throttled: ClassVar[bool] = False
    slow: ClassVar[bool] = False

    __slots__ = ("due", "place", "session", "traffic", "unsent")

    def __init__(self, session: "Session", traffic: Traffic) -> None:
        self.session = session
        self.traffic = traffic
        self.place = NOWHERE
        self.due = 0
        self.unsent: bytes | memoryview = b""

    def write(self, data: bytes | memoryview) -> None:
        """Send, and keep what the kernel does not take; raises OSError when the session is lost."""
        if self.unsent:
            self.unsent = bytes(self.unsent) + data
            return
        try:
            taken = self.session.send(data)
        except BlockingIOError:
            taken = 0
        self.traffic.sent += taken
        self.traffic.writes += 1
        if taken < len(data):
            self.unsent = data[taken:]

    def writable(self) -> None:
        """Send what the kernel did not take before; raises as `write` does."""
        data, self.unsent = self.unsent, b""
        self.write(data)

    def heard(self, data: bytes | bytearray, size: int, now: float) -> None:
        """Take the first `size` bytes, heard at `now` (monotonic seconds); the buffer is used again afterwards."""

    def readable(self, events: int) -> None:
        """Take note of what epoll reported, where the workload reads itself."""

    def leave(self) -> None:
        """Send no more: our end is closed next, and only what is under way is still heard."""

    def left(self) -> None:
        """Take note that the session is not held any more."""

    def spoke_at_once(self) -> bool:
        """Return whether something was sent as soon as the session was established."""
        return False

    def ping(self) -> bytes | None:
        """Return something to send that the other end answers, None where nothing may come in between."""

    def heard_ping(self) -> bool:
        """Return whether what was heard answers the ping."""
        return True


class Streams(Generic[S]):
    """Those that a workload sends on, in `items`, by their places: in no order, so that any is taken out in O(1)."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[S] = []

    def add(self, stream: S) -> None:
        """Put one in."""
        stream.place = len(self.items)
        self.items.append(stream)

    def remove(self, stream: S) -> None:
        """Take one out, if it is in."""
        if stream.place == NOWHERE:
            return
        last = self.items.pop()
        if last is not stream:
            self.items[stream.place] = last
            last.place = stream.place
        stream.place = NOWHERE


class Workload(Protocol):
    """Traffic that owns the streams of the sessions it has joined."""

    def join(self, session: "Session") -> None:
        """Begin on a session that is held, if it is one of those wanted; raises OSError when it is lost."""
