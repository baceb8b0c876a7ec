"""The ping workload: now and then a few bytes on every held session, and the time until something comes back."""

import random
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Final

from common.coarse import Coarse
from common.deadlines import Deadlines
from common.histogram import Histogram
from common.reactor import Handler, Job, Reactor
from common.sockets import set_user_timeout
from initiator.session import Session, State
from initiator.target import Due

PAYLOAD: Final = b"PING"


class Ping:
    """When each session is pinged, and how long its answers take.

    All pings have the same time limit, so those that wait too long are at the head of the queue of those sent.

    The first data that a session hears after a ping is its answer, whatever it is: any echo, or any server that
    answers at all, shows that the path still knows the session.
    """

    def __init__(
        self,
        reactor: Reactor,
        deadlines: Deadlines[Due],
        round_trips: Histogram,
        interval: tuple[float, float],
        timeout: float,
        rng: random.Random,
    ) -> None:
        self.enabled = False
        self.interval = interval
        self.round_trips = round_trips
        self._asked: deque[Session] = deque()
        self._asked_at: deque[float] = deque()
        self._coarse_sent = Coarse()
        self._reactor = reactor
        self._deadlines = deadlines
        self._timeout = timeout
        self._draw = rng.random

    def switch(self, enabled: bool) -> None:
        """Ping from now on, or stop it; an answer that is awaited is awaited still."""
        self.enabled = enabled
        if enabled:
            self._reactor.start(self._arm_all())

    def set_interval(self, interval: tuple[float, float]) -> None:
        """Ping each session after a time drawn from this interval (seconds), those that wait already included."""
        self.interval = interval
        if self.enabled:
            self._reactor.start(self._arm_all())

    def arm(self, session: Session, since: float) -> None:
        """File a session's next ping at a drawn time after `since`."""
        low, high = self.interval
        self._deadlines.file(session, since + low + (high - low) * self._draw())

    def send(self, session: Session) -> int:
        """Send a ping on a held session, unless ping is off; return how many bytes it has.

        They are 0 when there is none now, and where a workload owns the stream: that counts them, and sends what the
        kernel does not take, for half a message would spoil those behind it. Raises OSError when the session is lost.
        """
        if not self.enabled:
            return 0
        sent = monotonic()
        stream = session.stream
        payload = PAYLOAD if stream is None else None if stream.unsent else stream.ping()
        if payload is None:
            self.arm(session, sent)
            return 0
        self.guard(session)
        count = 0
        if stream:
            stream.write(payload)
        else:
            try:
                count = session.send(payload)
            except BlockingIOError:
                self.arm(session, sent)
                return 0
        session.sent = sent
        session.state = State.ASKED
        self._asked.append(session)
        self._asked_at.append(sent)
        return count

    def guard(self, session: Session) -> None:
        """Have the kernel end a session that does not acknowledge for the ping timeout; raises OSError."""
        if not session.sent:
            set_user_timeout(session.descriptor, self._timeout)

    def answered(self, session: Session, now: float) -> None:
        """Record the answer to a session's ping, and file the next one."""
        sent = session.sent
        self.round_trips.record(now - sent)
        session.state = State.HELD
        session.sent = self._coarse_sent.of(sent)
        self._forget_answered()
        if self.enabled:
            self.arm(session, sent)

    def any_overdue(self, now: float) -> bool:
        """Return whether the oldest ping that waits for an answer has waited for too long."""
        self._forget_answered()
        return bool(self._asked_at) and self._asked_at[0] <= now - self._timeout

    def overdue(self, now: float) -> Iterator[Session]:
        """Take out and yield the sessions whose pings have waited for an answer for too long."""
        while self.any_overdue(now):
            self._asked_at.popleft()
            yield self._asked.popleft()

    def _forget_answered(self) -> None:
        """Drop the oldest pings that wait no more: a session that is asked again has sent at another time."""
        asked, asked_at = self._asked, self._asked_at
        while asked and (asked[0].state is not State.ASKED or asked[0].sent != asked_at[0]):
            asked.popleft()
            asked_at.popleft()

    def _arm_all(self) -> Job:
        now = monotonic()

        def arm(handler: Handler) -> None:
            if isinstance(handler, Session) and handler.state is State.HELD:
                self.arm(handler, now)

        return self._reactor.walk(arm)
