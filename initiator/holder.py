"""The keeper of the held sessions: opens what is missing, closes what is too many, replaces what is lost."""

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Generator, Sequence
from itertools import groupby
from operator import attrgetter
from select import EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP
from time import monotonic
from typing import Final

from common import reasons
from common.addresses import Address
from common.coarse import Coarse
from common.deadlines import Deadlines
from common.dump import Dump
from common.reactor import FAILED, READ, WRITE, Handler, Job, Reactor
from common.socket_options import nagle_option
from common.sockets import half_close, reset_at_close, set_option
from initiator.closing import LOOK, closable
from initiator.confirmed import Confirmed
from initiator.dialer import Dialer
from initiator.latencies import Latencies
from initiator.lifetime import Lifetime
from initiator.opener import Opener
from initiator.probes.ages import Ages
from initiator.retry import SETTLED
from initiator.session import ATTEMPTED, HELD, Session, State
from initiator.settings import PING_INTERVAL, Settings
from initiator.target import Due, Target
from initiator.tls import Secure
from initiator.traffic import Traffic
from initiator.workloads.ping import Ping
from initiator.workloads.stream import SLOW_READ, Workload

log = logging.getLogger("sessioner.initiator")

# Bytes taken by one read, and reads of one session in a row before the others have their turn.
BUFFER: Final = 1 << 16
_READS: Final = 8

# Seconds that a session closed by us waits for the answer still under way, and for the peer's FIN.
_CLOSE_TIMEOUT: Final = 1.0

# Items handled in one step of the expiry: few, for the answers to pings wait meanwhile.
_EXPIRED_AT_ONCE: Final = 4

_INPUT: Final = READ | FAILED
# With any of these a read that is short does not say that no more has come.
_MORE: Final = EPOLLRDHUP | EPOLLPRI | FAILED
# What epoll reports on a session that can be read from, nearly always: it can be written to as well.
_HEARD: Final = EPOLLIN | EPOLLOUT
_ESTABLISHED: Final = State.HELD
_TARGET: Final = attrgetter("target")


class Holder:
    """The sessions of all targets on one reactor.

    `processes` of ours hold sessions, with this one. What a batch of events reports as connected is taken in together,
    which costs less.
    """

    def __init__(self, reactor: Reactor, settings: Settings) -> None:
        rng = random.Random(settings.seed)
        self.deadlines: Deadlines[Due] = Deadlines()
        self.dialer = Dialer(settings, rng)
        self.opener = Opener(reactor, self.deadlines, self.dialer, settings, rng)
        self.confirmed = Confirmed()
        self.ages = Ages()
        self.targets: dict[Address, Target] = {}
        self.asked = 0
        self.held = 0
        self.established = 0
        self._coarse = Coarse()
        # When the latest answer came to those that have heard something unasked since: to all others it is `heard`.
        self._answered: dict[Session, float] = {}
        self.losses: Counter[str] = Counter()
        self._reactor = reactor
        self._all_held: asyncio.Future[None] | None = None
        self._buffer = bytearray(BUFFER)
        self._buffers = [self._buffer]
        self._view = memoryview(self._buffer)
        self._few = [self._view[:SLOW_READ]]
        self._closing = False
        self._close_again = False
        self._half_closed = 0
        self._expiring = False
        self.workload: Workload | None = None
        self.latencies = Latencies()
        self.secure = Secure(reactor, self, settings.tls) if settings.tls else None
        self.traffic = Traffic()
        self.ping = Ping(reactor, self.deadlines, self.latencies.ping.raw, PING_INTERVAL, settings.ping_timeout, rng)
        self.lifetime = Lifetime(reactor, self)
        self.dump: Dump | None = None
        self._connected: list[Session] = []
        self._nagle = nagle_option(settings)
        self.processes = 1
        reactor.on_beat(self._expire)

    def ask(self, target: Target, share: int) -> None:
        """Hold so many sessions to a target from now on."""
        self.asked += share - target.share
        target.share = share
        self.consider(target)
        self._tell_held()

    def consider(self, target: Target) -> None:
        """Open what the target lacks or close what it has too many, beginning now and going on in slices."""
        surplus = target.surplus
        if surplus < 0:
            self.opener.want(target)
            return
        self.opener.satisfied(target)
        if surplus:
            self._close_again = True
            if not self._closing:
                self._closing = True
                self._reactor.start(self._close_surplus())

    async def wait_held(self) -> None:
        """Return when every target has as many sessions as it is asked to hold."""
        while not self._is_all_held():
            if self._all_held is None:
                self._all_held = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._all_held)

    def connected(self, session: Session) -> None:
        """Take note that an attempt has succeeded."""
        if not self._connected:
            self._reactor.after_batch(self._establish_connected)
        self._connected.append(session)

    def ready(self, session: Session, events: int) -> None:
        """Handle what epoll reported on a session."""
        stream = session.stream
        slow = stream and (stream.unsent or stream.throttled or stream.slow)
        if events == _HEARD and session.state is _ESTABLISHED and not slow:
            if self._take(session, self._buffers) == BUFFER:
                self._read(session, events)
            return
        if session.state is State.CONNECTING:
            if events & FAILED:
                self.opener.refused(session)
                return
            self.establish([session])
            stream = session.stream
        if stream and stream.unsent and events & WRITE:
            try:
                stream.writable()
            except OSError as failure:
                self.lost(session, reasons.reason_of(failure.errno))
        if events & _INPUT and session.state is not State.CLOSED:
            self._read(session, events)

    def expired(self, session: Session) -> None:
        """Handle that a session's due time has come: what it means follows from its state."""
        if session.state is State.HELD:
            try:
                sent = self.ping.send(session)
            except OSError as failure:
                self.lost(session, reasons.reason_of(failure.errno))
            else:
                self.traffic.sent += sent
                self.traffic.writes += bool(sent)
        elif session.state is State.CLOSING:
            self._release(session)

    def join(self, workload: Workload, session: Session) -> None:
        """Let a workload begin on a held session."""
        try:
            set_option(session.descriptor, self._nagle)
            workload.join(session)
        except OSError as failure:
            self.lost(session, reasons.reason_of(failure.errno))

    def drop(self, session: Session, reset: bool) -> None:
        """End a held session on purpose, by RST or by FIN; it is replaced."""
        target = session.target
        if reset:
            self._leave(session)
            reset_at_close(session.descriptor)
            self._release(session)
        else:
            self.close(session)
        self.consider(target)

    def close(self, session: Session) -> None:
        """End a held session in order, after what is under way: the answer to its ping, or to what a workload sent."""
        stream = session.stream
        if stream:
            stream.leave()
        awaited = session.state is State.ASKED or stream is not None
        self._leave(session)
        session.notify_close()
        if awaited and half_close(session.descriptor):
            session.state = State.CLOSING
            self._half_closed += 1
            self.deadlines.file(session, self._reactor.now + _CLOSE_TIMEOUT)
        else:
            self._release(session)

    def close_all(self) -> None:
        """Release every session and attempt at once, at the end of the process."""
        for handler in self._reactor.handlers:
            if isinstance(handler, Session):
                handler.notify_close()
                os.close(handler.descriptor)

    def _is_all_held(self) -> bool:
        """Return whether every target has its share; O(1) as long as the sums tell that some have not."""
        return self.held == self.asked and all(target.held == target.share for target in self.targets.values())

    def _tell_held(self) -> None:
        if self._all_held and self._is_all_held():
            self._all_held.set_result(None)
            self._all_held = None

    def _establish_connected(self) -> None:
        """Take in what the last batch of events reported as connected."""
        connected, self._connected = self._connected, []
        self.establish(connected)

    def establish(self, sessions: list[Session]) -> None:
        """Take attempts that have succeeded into the books.

        That is what epoll's report says as well as SO_ERROR would: it is EPOLLOUT for a TCP socket that is past
        SYN_SENT, with EPOLLERR or EPOLLHUP if the socket has an error or is closed (tcp_poll in net/ipv4/tcp.c).
        """
        now = self._reactor.now
        self.opener.attempts -= len(sessions)
        self.latencies.connect.raw.record_many([now - session.since for session in sessions])
        self.held += len(sessions)
        self.established += len(sessions)
        for target, group in groupby(sessions, _TARGET):
            established = list(group)
            for session in established:
                session.state = _ESTABLISHED
                session.since = now
            count = len(established)
            target.table.add(established)
            target.attempts -= count
            target.held += count
            target.established += count
            target.retry.succeeded(now, count)
            if not target.queued:
                self.consider(target)
        if self.ping.enabled:
            for session in sessions:
                self.ping.arm(session, now)
        if self.workload:
            for session in sessions:
                self.join(self.workload, session)
        if self.lifetime.seconds is not None:
            self.lifetime.follow(sessions, now)
        self._tell_held()

    def read_at_most(self, session: Session, most: int) -> bool:
        """Take at most so many bytes, for a workload that paces the reading; return whether there may be more."""
        left = most
        while left and (count := self._take(session, [self._view[:left]])):
            left -= count
        return not left

    def _read(self, session: Session, events: int) -> None:
        """Take what has come, and notice the end; or leave that to a workload that paces it."""
        stream = session.stream
        if stream and stream.throttled:
            stream.readable(events)
            return
        slow = stream and stream.slow
        buffers, most, reads = (self._few, SLOW_READ, 1) if slow else (self._buffers, BUFFER, _READS)
        for _ in range(reads):
            count = self._take(session, buffers)
            if count < most and not (count and events & _MORE):
                return
            if session.stream is not stream:
                # A workload has joined with what was heard, and may pace the reading.
                break
        self._reactor.again(session, events)

    def _take(self, session: Session, buffers: Sequence[bytearray | memoryview]) -> int:
        """Read once, and return how many bytes were taken: 0 when there are no more for now, or at the end."""
        try:
            count = session.receive(buffers)
        except BlockingIOError:
            return 0
        except OSError as failure:
            self.lost(session, reasons.reason_of(failure.errno))
            return 0
        if not count:
            self.lost(session, reasons.FIN)
            return 0
        now, stream = self._reactor.now, session.stream
        traffic = self.traffic
        traffic.received += count
        traffic.reads += 1
        if self.dump:
            self.dump.received(session, self._view[:count], now)
        if stream:
            stream.heard(self._buffer, count, now)
        moment = self._coarse.of(now)
        heard = session.heard
        if session.state is _ESTABLISHED and stream and heard >= self._coarse.second and session not in self._answered:
            # Another answer in the same second confirms nothing new.
            session.heard = moment
            return count
        if session.state in HELD:
            self._confirm(session, count, now)
        return 0 if session.state is State.CLOSED else count

    def _confirm(self, session: Session, count: int, now: float) -> None:
        """Take note of a sign of life, and of what it confirms."""
        if not session.heard and (not session.sent or (session.stream and session.stream.spoke_at_once())):
            self.latencies.first_byte.raw.record(now - session.since)
        answered = self._answered.pop(session, session.heard)
        session.heard = heard = self._coarse.of(now)
        asked, stream = session.state is State.ASKED, session.stream
        if not asked and not stream:
            self._answered[session] = answered
            return
        if asked and (not stream or stream.heard_ping()):
            self.ping.answered(session, now)
        self.confirmed.answered(answered, heard)
        log.debug("Received %d bytes on %s", count, session)
        if self.workload and not stream:
            self.join(self.workload, session)

    def is_confirmed(self, session: Session) -> bool:
        """Return whether a held session has ever had an answer to something it sent."""
        return bool(self._answered.get(session, session.heard))

    def lost(self, session: Session, reason: str) -> None:
        """Count a held session that ended unasked, and have it replaced; one that we close has come to its end."""
        if session.state is State.CLOSING:
            self._release(session)
            return
        target = session.target
        target.losses[reason] += 1
        self.losses[reason] += 1
        self.ages.record(target.address, reason, self._reactor.now - session.since)
        log.info("Lost %s: %s", session, reason)
        self._leave(session)
        if reason == reasons.TIMEOUT:
            # On a silent path a FIN would be repeated, and would hold the port, long after the loss.
            reset_at_close(session.descriptor)
        elif reason == reasons.FIN:
            session.notify_close()
        self._release(session)
        # A box that accepts and resets at once must not be hammered at full speed.
        if self._reactor.now - session.since < SETTLED:
            self.opener.pause(target, session.since)
        self.consider(target)

    def _leave(self, session: Session) -> None:
        """Take a held session out of the books; its descriptor is still open."""
        target = session.target
        target.table.remove(session)
        target.held -= 1
        self.held -= 1
        self._tell_held()
        self.confirmed.lost(self._answered.pop(session, session.heard))
        self.deadlines.cancel(session)

    def _release(self, session: Session) -> None:
        """Close a descriptor: a FIN, unless bytes that nobody read are left."""
        if session.stream:
            session.stream.left()
        if session.state is State.CLOSING:
            self._half_closed -= 1
        self._reactor.forget(session.descriptor)
        os.close(session.descriptor)
        self.deadlines.cancel(session)
        session.mark_closed()

    def _close_surplus(self) -> Job:
        """Close sessions of the targets that have too many; attempts do not count as held, and go first."""
        allowed = 0
        visited: list[Handler] = []
        try:
            while self._close_again:
                self._close_again = False
                for _ in self._reactor.walk(visited.append):
                    for handler in visited:
                        if not isinstance(handler, Session):
                            continue
                        if handler.state in ATTEMPTED and handler.target.surplus > 0:
                            self.opener.abandon(handler)
                        if not allowed and _is_too_many(handler):
                            allowed = yield from self._room()
                        if _is_too_many(handler):
                            self.close(handler)
                            allowed -= 1
                    visited.clear()
                    yield
        finally:
            self._closing = False

    def _room(self) -> Generator[float, None, int]:
        """Wait until the kernel has room for closed sessions; return how many may be closed until it is asked again."""
        begun = monotonic()
        while not (count := closable(self.processes, self._half_closed, monotonic() - begun)):
            yield LOOK
        return count

    def _expire(self) -> None:
        self.deadlines.tidy()
        now = self._reactor.now
        if not self._expiring and (self.deadlines.any_expired(now) or self.ping.any_overdue(now)):
            self._expiring = True
            self._reactor.start(self._expired())

    def _expired(self) -> Job:
        """Handle everything that is due, in slices."""
        try:
            for handled, item in enumerate(self.deadlines.expired(self._reactor.now), 1):
                if item:
                    item.expired()
                if handled % _EXPIRED_AT_ONCE == 0:
                    yield
            for handled, session in enumerate(self.ping.overdue(self._reactor.now), 1):
                self.lost(session, reasons.TIMEOUT)
                if handled % _EXPIRED_AT_ONCE == 0:
                    yield
        finally:
            self._expiring = False


def _is_too_many(session: Session) -> bool:
    """Return whether a session is held, and its target holds more than its share."""
    return session.state in HELD and session.target.held > session.target.share
