"""What a workload that owns the sessions' streams is to the holder."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from initiator.session import Session


class Stream(Protocol):
    """A workload's part of one session: it takes what is heard, and is told what becomes of the session.

    `unsent` is what the kernel did not take.
    """

    unsent: bytes

    def heard(self, data: bytes | bytearray, size: int, now: float) -> None:
        """Take the first `size` bytes, heard at `now` (monotonic seconds); the buffer is used again afterwards."""

    def writable(self) -> None:
        """Send what the kernel did not take before."""

    def leave(self) -> None:
        """Send no more: our end is closed next, and only what is under way is still heard."""

    def left(self) -> None:
        """Take note that the session is not held any more."""

    def ping(self) -> bytes:
        """Return something to send that the other end answers."""


class Workload(Protocol):
    """Traffic that owns the streams of the sessions it has joined."""

    def join(self, session: "Session") -> None:
        """Begin on a session that is held, if it is one of those wanted."""
