"""The keeper of the held sessions: opens what is missing, closes what is too many, replaces what is lost."""

import asyncio
import logging
import os
import random
from collections import Counter
from itertools import groupby
from operator import attrgetter
from select import EPOLLRDHUP
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
from initiator.closing import AT_ONCE, LOOK, closing_pause
from initiator.confirmed import Confirmed
from initiator.dialer import Dialer
from initiator.latencies import Latencies
from initiator.lifetime import Lifetime
from initiator.opener import Opener
from initiator.probes.ages import Ages
from initiator.session import ATTEMPTED, Session, State
from initiator.settings import PING_INTERVAL, Settings
from initiator.target import Due, Target
from initiator.tls import Secure
from initiator.traffic import Traffic
from initiator.workloads.ping import Ping
from initiator.workloads.stream import Workload

log = logging.getLogger("sessioner.initiator")

# Bytes taken by one read, and reads of one session in a row before the others have their turn.
BUFFER: Final = 1 << 16
_READS: Final = 8

# A session that ends sooner than this after its establishment counts as a failed attempt: a box that accepts and
# resets at once must not be hammered at full speed.
_SETTLED: Final = 1.0

# Seconds that a session closed by us waits for the answer still under way, and for the peer's FIN.
_CLOSE_TIMEOUT: Final = 1.0

# Seconds after an answer during which further ones confirm nothing new: it is counted by the second.
_CONFIRMED_AGAIN: Final = 0.5

# Items handled in one step of the expiry: few, for the answers to pings wait meanwhile.
_EXPIRED_AT_ONCE: Final = 4

_INPUT: Final = READ | FAILED
_END: Final = EPOLLRDHUP | FAILED
_ESTABLISHED: Final = State.HELD
_TARGET: Final = attrgetter("target")
_HELD: Final = (State.HELD, State.ASKED)


class Holder:
    """The sessions of all targets on one reactor.

    `processes` of ours hold sessions, with this one. `connected` gathers what a batch of events reports as connected:
    taken in together it costs less.
    """

    def __init__(self, reactor: Reactor, settings: Settings) -> None:
        rng = random.Random(settings.seed)
        self.deadlines: Deadlines[Due] = Deadlines()
        self.dialer = Dialer(settings, rng.random)
        self.opener = Opener(reactor, self.deadlines, self.dialer, settings, rng)
        self.confirmed = Confirmed()
        self.ages = Ages()
        self.targets: dict[Address, Target] = {}
        self.asked = 0
        self.held = 0
        self.established = 0
        self._coarse = Coarse()
        self.losses: Counter[str] = Counter()
        self._reactor = reactor
        self._all_held: asyncio.Future[None] | None = None
        self._buffer = bytearray(BUFFER)
        self._buffers = [self._buffer]
        self._view = memoryview(self._buffer)
        self._closing = False
        self._close_again = False
        self._expiring = False
        self.workload: Workload | None = None
        self.latencies = Latencies()
        self.secure = Secure(reactor, self, settings.tls) if settings.tls else None
        self.traffic = Traffic()
        self.ping = Ping(reactor, self.deadlines, self.latencies.ping.raw, PING_INTERVAL, settings.ping_timeout, rng)
        self.lifetime = Lifetime(reactor, self)
        self.dump: Dump | None = None
        self.connected: list[Session] = []
        self._nagle = nagle_option(settings)
        self.processes = 1
        reactor.on_beat(self._expire)
        reactor.after_batch(self._establish_connected)

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
        elif surplus > 0:
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

    def ready(self, session: Session, events: int) -> None:
        """Handle what epoll reported on a session."""
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
            if stream and stream.throttled:
                stream.readable(events)
            else:
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
        if self.connected:
            connected, self.connected = self.connected, []
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
        heard, left, ended = 0, most, None
        try:
            while left and not ended:
                count = session.receive([self._view[:left]])
                if not count:
                    ended = reasons.FIN
                if self.dump:
                    self.dump.received(session, self._view[:count], self._reactor.now)
                if session.stream:
                    session.stream.heard(self._buffer, count, self._reactor.now)
                heard += count
                left -= count
        except BlockingIOError:
            pass
        except OSError as failure:
            ended = reasons.reason_of(failure.errno)
        if heard:
            self._heard(session, heard)
        if ended:
            self.lost(session, ended)
        return not left

    def _read(self, session: Session, events: int) -> None:
        """Take what has come, and notice the end."""
        heard = 0
        ended = None
        try:
            for _ in range(_READS):
                count = session.receive(self._buffers)
                if not count:
                    ended = reasons.FIN
                    break
                heard += count
                if self.dump:
                    self.dump.received(session, self._view[:count], self._reactor.now)
                if session.stream:
                    session.stream.heard(self._buffer, count, self._reactor.now)
                if count < BUFFER and not events & _END:
                    break
            else:
                self._reactor.again(session, events)
        except BlockingIOError:
            pass
        except OSError as failure:
            ended = reasons.reason_of(failure.errno)
        if session.state is State.CLOSING:
            self.traffic.received += heard
            if ended:
                self._release(session)
            return
        if heard:
            self._heard(session, heard)
        if ended:
            self.lost(session, ended)

    def _heard(self, session: Session, count: int) -> None:
        now = self._reactor.now
        self.traffic.received += count
        self.traffic.reads += 1
        if not session.heard and (not session.sent or (session.stream and session.stream.spoke_at_once())):
            self.latencies.first_byte.raw.record(now - session.since)
        session.heard = heard = self._coarse.of(now)
        if session.state is State.ASKED:
            self.ping.answered(session, now)
        elif not session.stream or heard - session.answered < _CONFIRMED_AGAIN:
            return
        self.confirmed.answered(session.answered, heard)
        session.answered = heard
        log.debug("Received %d bytes on %s", count, session)

    def lost(self, session: Session, reason: str) -> None:
        """Count a held session that ended unasked, and have it replaced."""
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
        if self._reactor.now - session.since < _SETTLED:
            self.opener.pause(target, session.since)
        self.consider(target)

    def _leave(self, session: Session) -> None:
        """Take a held session out of the books; its descriptor is still open."""
        target = session.target
        target.table.remove(session)
        target.held -= 1
        self.held -= 1
        self._tell_held()
        self.confirmed.lost(session.answered)
        self.deadlines.cancel(session)

    def _release(self, session: Session) -> None:
        """Close a descriptor: a FIN, unless bytes that nobody read are left."""
        if session.stream:
            session.stream.left()
        self._reactor.forget(session.descriptor)
        os.close(session.descriptor)
        self.deadlines.cancel(session)
        session.mark_closed()

    def _close_surplus(self) -> Job:
        """Close sessions of the targets that have too many; attempts do not count as held, and go first."""
        closed = 0

        def close(handler: Handler) -> None:
            nonlocal closed
            if isinstance(handler, Session):
                target = handler.target
                if handler.state in ATTEMPTED:
                    if target.surplus > 0:
                        self.opener.abandon(handler)
                elif target.held > target.share and handler.state in _HELD:
                    self.close(handler)
                    closed += 1

        try:
            while self._close_again:
                self._close_again = False
                for _ in self._reactor.walk(close):
                    yield
                    if closed >= AT_ONCE:
                        closed = 0
                        yield from self._pause()
        finally:
            self._closing = False

    def _pause(self) -> Job:
        """Close nothing for as long as the kernel has no room."""
        begun = monotonic()
        while monotonic() - begun < closing_pause(self.processes):
            yield LOOK

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
