"""A set of sessions of one's own, beside the held ones: opened, asked for an echo, heard, closed."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import cycle
from select import EPOLLRDHUP, poll
from time import monotonic
from typing import Final

from common import reasons, shortages
from common.addresses import HIGHEST_PORT
from common.pacing import Pace
from common.reactor import EDGE, FAILED, READ, WRITE, Job, Reactor
from common.sockets import Option, error_of, reset_at_close, segments
from initiator.dialer import Dialer
from initiator.target import Target

# What came back is not what was sent, or came unasked.
WRONG: Final = "wrong echo"

# Sessions begun, asked or closed in one step: some hundred microseconds.
_STEP: Final = 8

# Sessions that ran out of time and are ended before the others have their turn.
_FAILED_AT_ONCE: Final = 64

_BUFFER: Final = 1 << 16
_EVENTS: Final = READ | WRITE | EDGE
_END: Final = EPOLLRDHUP | FAILED


class State(Enum):
    """What is awaited of a session: its establishment, nothing, the echo of what was said on it; or it has ended."""

    CONNECTING = "connecting"
    READY = "ready"
    ASKED = "asked"
    ENDED = "ended"


class OwnSession:
    """A descriptor with what is awaited of it.

    `since` (monotonic seconds) is when the SYN or the last message went out, `took` the seconds until the establishment
    or the whole echo, `failure` the reason for which it has ended, "" for none. `silent` is when something was heard
    last, or the session was established, `ended` when it ended. `asked` is `since` by the reactor's `watched`.
    """

    __slots__ = (
        "asked", "at", "descriptor", "ended", "expected", "failure", "owner", "silent", "since", "state", "target",
        "took", "unsent", "waiter",
    )  # fmt: skip

    def __init__(self, owner: "OwnSessions", target: Target, now: float, asked: float) -> None:
        self.owner = owner
        self.target = target
        self.descriptor = -1
        self.state = State.CONNECTING
        self.since = now
        self.asked = asked
        self.silent = now
        self.took = 0.0
        self.ended = 0.0
        self.failure = ""
        self.expected = b""
        self.at = 0
        self.unsent = b""
        self.waiter: asyncio.Future[None] | None = None

    def ready(self, events: int) -> None:
        """Handle what epoll reported."""
        self.owner.ready(self, events)


class OwnSessions:
    """The sessions, opened to the targets in turn, each with these socket options.

    `patience` is for how many seconds an establishment or an echo is waited for. `fleeting` ones are reset as soon as
    they are established, and count as failed when their SYN had to be sent again. `short_of` is what ran out on this
    host (common.shortages), `slowest` the longest establishment or echo so far, in seconds.
    """

    def __init__(
        self, reactor: Reactor, dialer: Dialer, targets: Iterable[Target], patience: float, fleeting: bool = False
    ) -> None:
        self.patience = patience
        self.slowest = 0.0
        self.short_of: str | None = None
        self.open: set[OwnSession] = set()
        self._fleeting = fleeting
        self._closed = False
        self._reactor = reactor
        self._dialer = dialer
        self._targets = list(targets)
        self._turn = cycle(self._targets)
        self._hosts: dict[Target, int] = {}
        self._buffer = bytearray(_BUFFER)
        self._buffers = [self._buffer]

    def begin(self, target: Target | None = None, options: Iterable[Option] = ()) -> OwnSession:
        """Send a SYN, to the next target if none is given; what fails at once is returned as ended."""
        target = target or next(self._turn)
        session = OwnSession(self, target, monotonic(), self._reactor.watched())
        try:
            sock, error, key = self._dialer.dial(target, self._hosts.get(target, 0))
        except OSError as failure:
            return self._not_begun(session, failure.errno or errno.EIO)
        self._hosts[target] = key & ~HIGHEST_PORT
        # After the connect, for these are to prevail over those of the command line.
        for level, name, value in options:
            sock.setsockopt(level, name, value)
        if error != errno.EINPROGRESS:
            sock.close()
            return self._not_begun(session, error)
        try:
            self._reactor.add(sock.fileno(), session, _EVENTS)
        except OSError as failure:
            sock.close()
            return self._not_begun(session, failure.errno or errno.EIO)
        session.descriptor = sock.detach()
        self.open.add(session)
        return session

    async def establish(
        self, count: int, rate: float | None = None, targets: Sequence[Target] = (), options: Sequence[Option] = ()
    ) -> list[OwnSession]:
        """Open so many, at most `rate` a second; return them all when each is established or has failed."""
        turn = cycle(targets) if targets else self._turn
        sessions: list[OwnSession] = []
        async for due in _due(count, rate):
            await self._reactor.run(self._begin(sessions, due, turn, options))
        await self.settle(sessions, State.CONNECTING)
        return sessions

    async def ask(self, sessions: Sequence[OwnSession], message: Callable[[int], bytes]) -> None:
        """Send the message of its number on each that is ready; return when each has its echo, or has failed."""
        await self._reactor.run(self._say(sessions, message))
        await self.settle(sessions, State.ASKED)

    async def settle(self, sessions: Iterable[OwnSession], awaited: State) -> None:
        """Return when none is in that state any more; those that are for longer than the patience fail."""
        failed = 0
        for session in sessions:
            while session.state is awaited:
                if (left := self.left(session)) > 0:
                    session.waiter = asyncio.get_running_loop().create_future()
                    await asyncio.wait((session.waiter,), timeout=left)
                    continue
                self.give_up(session)
                failed += 1
                if failed % _FAILED_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def left(self, session: OwnSession) -> float:
        """Return for how many seconds a session is still waited for.

        Those in which we stood still do not count, unless it is fleeting: the kernel must not send its SYN again.
        """
        if self._fleeting:
            return session.since + self.patience - monotonic()
        return session.asked + self.patience - self._reactor.watched()

    def give_up(self, session: OwnSession) -> None:
        """Fail one that was waited for long enough, unless what has come lies there and was not reported yet."""
        awaited = session.state
        unreported = poll()
        unreported.register(session.descriptor, READ if awaited is State.ASKED else READ | WRITE)
        for _, events in unreported.poll(0):
            self.ready(session, events)
        if session.state is awaited:
            self.fail(session, reasons.TIMEOUT)

    async def close(self, reset: bool) -> None:
        """End all that are left, by RST or by FIN, and begin no more, also where that is under way."""
        self._closed = True
        await self._reactor.run(self._close(reset))

    def end(self, session: OwnSession, reset: bool) -> None:
        """End one by RST or by FIN; nothing happens when it has ended."""
        if session.state is State.ENDED:
            return
        if reset:
            reset_at_close(session.descriptor)
        self._reactor.forget(session.descriptor)
        os.close(session.descriptor)
        session.descriptor = -1
        self.open.discard(session)
        self._leave(session, State.ENDED)

    def fail(self, session: OwnSession, reason: str) -> None:
        """End one for a reason: by RST, for on a silent path a FIN would be repeated for long."""
        session.failure = reason
        session.ended = monotonic()
        self.end(session, reset=True)

    def ready(self, session: OwnSession, events: int) -> None:
        """Handle what epoll reported on a session."""
        if session.state is State.CONNECTING:
            if events & FAILED:
                self.fail(session, reasons.reason_of(error_of(session.descriptor)))
                return
            self._established(session)
        if session.unsent and events & WRITE:
            self._send(session, session.unsent)
        if events & (READ | FAILED) and session.state is not State.ENDED:
            self._read(session, events)

    def _not_begun(self, session: OwnSession, error: int) -> OwnSession:
        self.short_of = shortages.kind_of(error) or self.short_of
        session.state = State.ENDED
        session.failure = reasons.reason_of(error)
        return session

    def _begin(self, sessions: list[OwnSession], count: int, turn: Iterator[Target], options: Sequence[Option]) -> Job:
        for begun in range(1, count + 1):
            if self._closed:
                return
            sessions.append(self.begin(next(turn), options))
            if begun % _STEP == 0:
                yield

    def _established(self, session: OwnSession) -> None:
        now = monotonic()
        session.took = now - session.since
        session.silent = now
        if not self._fleeting:
            self.slowest = max(self.slowest, session.took)
            self._leave(session, State.READY)
        elif segments(session.descriptor)[2]:
            self.fail(session, reasons.TIMEOUT)
        else:
            self.slowest = max(self.slowest, session.took)
            self.end(session, reset=True)

    def _say(self, sessions: Sequence[OwnSession], message: Callable[[int], bytes]) -> Job:
        for number, session in enumerate(sessions):
            if session.state is State.READY and not self._closed:
                session.expected = message(number)
                session.at = 0
                session.state = State.ASKED
                session.since = monotonic()
                session.asked = self._reactor.watched()
                self._send(session, session.expected)
            if number % _STEP == _STEP - 1:
                yield

    def _send(self, session: OwnSession, data: bytes) -> None:
        try:
            session.unsent = data[os.write(session.descriptor, data) :]
        except BlockingIOError:
            session.unsent = data
        except OSError as failure:
            self.fail(session, reasons.reason_of(failure.errno))

    def _read(self, session: OwnSession, events: int) -> None:
        """Take what has come, and notice the end."""
        try:
            while session.state is not State.ENDED:
                count = os.readv(session.descriptor, self._buffers)
                if not count:
                    self.fail(session, reasons.FIN)
                    return
                self._heard(session, count)
                if count < _BUFFER and not events & _END:
                    return
        except BlockingIOError:
            pass
        except OSError as failure:
            self.fail(session, reasons.reason_of(failure.errno))

    def _heard(self, session: OwnSession, count: int) -> None:
        """Compare what has come with what was sent."""
        at, end = session.at, session.at + count
        if session.state is not State.ASKED or self._buffer[:count] != session.expected[at:end]:
            self.fail(session, WRONG)
            return
        session.at = end
        session.silent = now = monotonic()
        if end == len(session.expected):
            session.took = now - session.since
            self.slowest = max(self.slowest, session.took)
            self._leave(session, State.READY)

    def _leave(self, session: OwnSession, state: State) -> None:
        """Let a session be in another state, and whoever waits for that go on."""
        session.state = state
        waiter, session.waiter = session.waiter, None
        if waiter and not waiter.done():
            waiter.set_result(None)

    def _close(self, reset: bool) -> Job:
        for closed, session in enumerate(list(self.open), 1):
            self.end(session, reset)
            if closed % _STEP == 0:
                yield


async def _due(count: int, rate: float | None) -> AsyncIterator[int]:
    """Yield how many of so many are due, each time that some are."""
    if rate is None:
        yield count
        return
    pace = Pace(rate, monotonic())
    while count:
        due = min(count, pace.due(monotonic()))
        if due:
            yield due
            pace.done(due)
            count -= due
        await asyncio.sleep(pace.wait(monotonic()))
