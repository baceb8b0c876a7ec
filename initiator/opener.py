"""The opening of sessions: attempts in slices, at a pace, from source addresses in turn."""

import errno
import logging
import os
import random
from collections import Counter, deque
from select import EPOLLPRI
from sys import maxsize
from time import monotonic
from typing import Final

from common import reasons, shortages
from common.addresses import HIGHEST_PORT
from common.deadlines import Deadlines
from common.pacing import Pace
from common.reactor import EDGE, READ, WRITE, Job, Reactor
from common.shortages import Shortages
from common.sockets import error_of
from initiator.dialer import Dialer
from initiator.session import ATTEMPTED, Session
from initiator.settings import Settings
from initiator.target import Due, Target
from initiator.tls import MOST_HANDSHAKES, TlsSession

log = logging.getLogger("sessioner.initiator")

# Attempts begun in one step of the job: eight take a quarter of a millisecond, but one in a port range that is
# nearly full takes up to 0.9 ms, so the clock is looked at as well.
_STEP: Final = 8
_STEP_SECONDS: Final = 0.0005
_UNDER_WAY: Final = errno.EINPROGRESS

# An urgent byte is reported by itself, for a read ends in front of it however much has come: tcp(7).
_EVENTS: Final = READ | WRITE | EPOLLPRI | EDGE


class Opener:
    """Targets that want sessions, and the attempts under way, each a socket until it is established.

    All attempts have the same time limit, so those that take too long are at the head of the queue of those begun.
    """

    def __init__(
        self, reactor: Reactor, deadlines: Deadlines[Due], dialer: Dialer, settings: Settings, rng: random.Random
    ) -> None:
        self.attempts = 0
        self.failures: Counter[str] = Counter()
        self.shortages = Shortages("no more sessions are opened until there is room")
        self.without_ports: set[Target] = set()
        self._pace: Pace | None = None
        self._reactor = reactor
        self._deadlines = deadlines
        self._jitter = rng.random
        self._timeout = settings.connect_timeout
        self._dialer = dialer
        self._make, self._most = (TlsSession, MOST_HANDSHAKES) if settings.tls else (Session, maxsize)
        self._wanting: deque[Target] = deque()
        self._begun: deque[Session] = deque()
        self._running = False
        self._giving_up = False
        self.set_rate(settings.connect_rate)
        reactor.on_beat(self._beat)

    @property
    def rate(self) -> float | None:
        """How many attempts are begun a second at most, None for as many as can be."""
        return self._pace.rate if self._pace else None

    def set_rate(self, rate: float | None) -> None:
        """Begin at most `rate` attempts a second from now on, or as many as can be for None."""
        self._pace = Pace(rate, monotonic()) if rate else None

    def want(self, target: Target) -> None:
        """Open what the target is short of, as soon as its turn comes."""
        if not target.queued and target.openable > 0:
            target.queued = True
            self._wanting.append(target)
            self._resume()

    def refused(self, session: Session) -> None:
        """Deal with an attempt that epoll reported as failed: SO_ERROR says why."""
        self.fail(session, reasons.reason_of(error_of(session.descriptor)))

    def fail(self, session: Session, reason: str) -> None:
        """End an attempt that came to nothing, count it, and let its target pause."""
        target = session.target
        self._count(target, reason)
        self.abandon(session)
        self.pause(target, session.since)
        self.want(target)

    def satisfied(self, target: Target) -> None:
        """Take note that a target has, or is about to have, all it is asked to hold."""
        if target in self.without_ports:
            self.without_ports.remove(target)
            if not self.without_ports:
                self.shortages.end(shortages.PORTS)

    def abandon(self, session: Session) -> None:
        """End an attempt without counting it as anything."""
        self._reactor.forget(session.descriptor)
        os.close(session.descriptor)
        session.mark_closed()
        self.attempts -= 1
        session.target.attempts -= 1

    def pause(self, target: Target, began: float) -> None:
        """Let a target pause because what began at `began` (monotonic seconds) failed."""
        now = self._reactor.now
        seconds = target.retry.failed(began, now, self._jitter())
        if seconds:
            self._deadlines.file(target, now + seconds)
            log.debug("Target %s pauses for %.1f s", target.address, seconds)

    def _beat(self) -> None:
        """Give up the attempts that take too long, and begin others where there was no room."""
        if not self._giving_up and self._any_overdue():
            self._giving_up = True
            self._reactor.start(self._give_up())
        self._resume()

    def _any_overdue(self) -> bool:
        """Return whether the oldest attempt under way takes too long."""
        self._forget_ended()
        begun = self._begun
        return bool(begun) and begun[0].since <= self._reactor.now - self._timeout

    def _forget_ended(self) -> None:
        """Drop the oldest attempts that have ended, before others are begun: the queue stays as short as it can be."""
        begun = self._begun
        while begun and begun[0].state not in ATTEMPTED:
            begun.popleft()

    def _give_up(self) -> Job:
        """Fail every attempt that takes too long, in slices."""
        try:
            failed = 0
            while self._any_overdue():
                self.fail(self._begun.popleft(), reasons.TIMEOUT)
                failed += 1
                if failed % _STEP == 0:
                    yield
        finally:
            self._giving_up = False

    def _resume(self) -> None:
        """Begin attempts again, if some are wanted and their time has come."""
        if self._wanting and not self._running:
            self._running = True
            self._reactor.start(self._job())

    def _job(self) -> Job:
        """Begin attempts, target after target, until none is wanted or none can be begun for now."""
        wanting = self._wanting
        try:
            while wanting and self._step():
                yield
        finally:
            self._running = False

    def _step(self) -> bool:
        """Begin a few attempts on one target; return whether more can be begun at once."""
        wanting = self._wanting
        target = wanting[0]
        count = min(target.openable, _STEP)
        if count <= 0:
            wanting.popleft().queued = False
            if target.surplus >= 0:
                self.satisfied(target)
            if not wanting:
                self._all_begun()
            return True
        count = min(count, self._most - self.attempts)
        if count <= 0:
            return False
        if self._pace:
            now = monotonic()
            count = min(count, self._pace.due(now))
            if not count:
                self._reactor.call_later(self._pace.wait(now), self._resume)
                return False
        wanting.rotate(-1)
        self._forget_ended()
        return self._begin(target, count)

    def _begin(self, target: Target, count: int) -> bool:
        """Begin so many attempts, or fewer if they take long; return False when there is no room for any."""
        now = begun = monotonic()
        dial, add, remember, make = self._dialer.dial, self._reactor.add, self._begun.append, self._make
        host = sent = 0
        room = True
        for _ in range(count):
            try:
                sock, error, key = dial(target, host)
            except OSError as failure:
                room = self._no_room(failure.errno)
                break
            if error != _UNDER_WAY:
                sock.close()
                room = self._refused_at_once(target, error, now)
                break
            descriptor = sock.fileno()
            session = make(descriptor, target, key, now)
            try:
                add(descriptor, session, _EVENTS)
            except OSError as failure:
                sock.close()
                self._count(target, reasons.reason_of(failure.errno))
                self.pause(target, now)
                room = self._no_room(failure.errno)
                break
            sock.detach()
            host = key & ~HIGHEST_PORT
            remember(session)
            sent += 1
            now = monotonic()
            if now - begun > _STEP_SECONDS:
                break
        self.attempts += sent
        target.attempts += sent
        if self._pace:
            self._pace.done(sent)
        return room

    def _refused_at_once(self, target: Target, error: int, now: float) -> bool:
        """Deal with a SYN that could not be sent; return False when there is no room for any."""
        if error in reasons.NO_MEMORY:
            return self._no_room(error)
        if error == errno.EADDRNOTAVAIL:
            self.without_ports.add(target)
            self.shortages.begin(shortages.PORTS)
        self._count(target, reasons.reason_of(error))
        self.pause(target, now)
        return True

    def _count(self, target: Target, reason: str) -> None:
        target.failures[reason] += 1
        self.failures[reason] += 1
        log.debug("Attempt to %s failed: %s", target.address, reason)

    def _no_room(self, error: int | None) -> bool:
        """Take note that there is no room for any attempt now, and return False for that."""
        self.shortages.begin(shortages.kind_of(error) or shortages.MEMORY)
        return False

    def _all_begun(self) -> None:
        """Take note that nothing more is wanted for now: what had run out has sufficed."""
        self.shortages.end(shortages.DESCRIPTORS)
        self.shortages.end(shortages.MEMORY)
        self.shortages.end(shortages.WATCHES)
