"""What a run of messages is to one session: its place in the sequence, and what it waits for."""

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from initiator.workloads.stream import Stream

if TYPE_CHECKING:
    import re

    from initiator.session import Session
    from initiator.workloads.frames import Checker
    from initiator.workloads.send import Send


class SendStream(Stream):
    """One session's part.

    `number` is that of the next message, `offset` the place in the sequence's bytes. `waiting` holds (due, sent) in
    monotonic seconds of the messages that wait for an answer, in their order, `numbered` by their number. `at_once` is
    whether the first was sent as soon as the session was established, None while none has been. `ahead` are bytes sent
    before they were due, where only whole messages are. While it is `leaving` nothing is sent any more, but the answers
    under way are read.
    """

    __slots__ = (
        "ahead", "at_once", "begun", "checker", "drawn", "input", "leaving", "number", "numbered", "offset", "pattern",
        "run", "skip", "tail", "tail_stop", "uid", "waiting",
    )  # fmt: skip

    def __init__(self, session: "Session", run: "Send", uid: int) -> None:
        super().__init__(session, run.traffic)
        self.run = run
        self.uid = uid
        self.at_once: bool | None = None
        self.ahead = 0
        self.begun = False
        self.leaving = False
        self.number = 1
        self.offset = 0
        self.input = 0
        self.skip = run.settings.skip
        self.tail = self.tail_stop = b""
        self.pattern: re.Pattern[bytes] | bytes | None = None
        self.checker: Checker | None = None
        self.drawn: dict[int, bytes] | None = None
        self.waiting: deque[tuple[float, float]] | None = None
        self.numbered: dict[int, tuple[float, float]] | None = None

    def heard(self, data: bytes | bytearray, size: int, now: float) -> None:
        """Count the first `size` bytes, and look for answers in them."""
        run = self.run
        run.received += size
        if run.listening:
            run.heard(self, bytes(data[:size]), now)

    def writable(self) -> None:
        """Go on sending."""
        if self.run.endless:
            self.run.write_on(self)
            return
        data = self.unsent
        try:
            super().writable()
        except OSError:
            self.unsent = data
            raise

    def leave(self) -> None:
        """Send no more, and take the answers under way."""
        self.run.leave(self)
        self.unsent = b""

    def left(self) -> None:
        """Take note that the session is not held any more."""
        self.run.left(self)

    def spoke_at_once(self) -> bool:
        """Return whether the first message followed the establishment."""
        return bool(self.at_once)

    def pending(self) -> int:
        """Return how many messages wait for an answer."""
        return len(self.waiting or ()) + len(self.numbered or ())

    def expired(self) -> None:
        """Begin: the delay is over."""
        try:
            self.run.begin(self)
        except OSError as failure:
            self.session.lost(failure)


class ListeningStream(SendStream):
    """One session's part where answers are told one by one."""

    slow: ClassVar[bool] = True

    __slots__ = ()


class ThrottledStream(SendStream):
    """One session's part where reading is paced."""

    throttled: ClassVar[bool] = True

    __slots__ = ()

    def readable(self, events: int) -> None:
        """Keep what epoll reported for the session's next turn."""
        self.input |= events
        self.run.reported(self)
