"""Sessions that speak TLS: they are held when the handshake is done."""

import logging
from collections.abc import Sequence
from select import EPOLLRDHUP
from time import monotonic
from typing import TYPE_CHECKING, Final

from common import reasons
from common.reactor import FAILED, READ, WRITE, Reactor
from common.tls import Handshakes, Tls, client_context
from initiator.session import Session, State
from initiator.settings import Tls as Settings

if TYPE_CHECKING:
    from initiator.holder import Holder
    from initiator.target import Target

log = logging.getLogger("sessioner.initiator")

# Attempts under way at once, over all targets: our part of a handshake takes up to a millisecond, and those that wait
# for it must not be given up as too slow. At a round trip of 100 ms that is still 400 a second.
MOST_HANDSHAKES: Final = 128


class TlsSession(Session):
    """A session with its TLS, which is there from the establishment on, at `connected` (monotonic seconds)."""

    __slots__ = ("connected", "tls")

    tls: Tls

    def __init__(self, descriptor: int, target: "Target", key: int, now: float) -> None:
        super().__init__(descriptor, target, key, now)
        self.connected = 0.0

    def send(self, data: bytes | memoryview) -> int:
        """Return how many bytes were taken, all; raises BlockingIOError for none, OSError when the session is lost."""
        count = self.tls.send(data)
        dump = self.target.holder.dump
        if dump:
            dump.sent(self, memoryview(data)[:count], monotonic())
        return count

    def receive(self, buffers: Sequence[bytearray | memoryview]) -> int:
        """Fill the buffers, and return how many bytes came, 0 at the end; raises as `send` does."""
        return self.tls.receive(buffers)

    def notify_close(self) -> None:
        """Say that nothing more will be sent."""
        if self.state not in (State.CONNECTING, State.HANDSHAKE):
            self.tls.notify_close()

    def ready(self, events: int) -> None:
        """Handle what epoll reported."""
        holder = self.target.holder
        if self.state is State.CONNECTING:
            if events & FAILED:
                holder.opener.refused(self)
            elif holder.secure:
                holder.secure.begin(self)
        elif self.state is State.HANDSHAKE:
            if holder.secure:
                holder.secure.handshakes.add(self)
        elif self.state is not State.CLOSED:
            if self.tls.unsent and events & WRITE and not self._flush():
                return
            # A read that is short does not say that no more has come, so reading goes on as it does towards an end.
            holder.ready(self, events | EPOLLRDHUP)

    def go_on(self) -> None:
        """Go on with the handshake, if it is still under way."""
        secure = self.target.holder.secure
        if self.state is State.HANDSHAKE and secure:
            secure.go_on(self)

    def _flush(self) -> bool:
        """Send the ciphertext that waits; return whether the session is still there.

        One that is being closed has only its peer's end to wait for.
        """
        try:
            self.tls.flush()
        except OSError as failure:
            if self.state is not State.CLOSING:
                self.lost(failure)
                return False
        return True


class Secure:
    """The handshakes of all sessions; one context is shared. Raises UsageError where the settings do not do."""

    def __init__(self, reactor: Reactor, holder: "Holder", settings: Settings) -> None:
        self.handshakes = Handshakes(reactor)
        self._context = client_context(settings.ca, settings.verify)
        self._name = settings.name
        self._reactor = reactor
        self._holder = holder

    def begin(self, session: TlsSession) -> None:
        """Begin the handshake on a session that is established."""
        session.state = State.HANDSHAKE
        session.connected = self._reactor.now
        # As it was written the host may have a zone or the dot of the root, which no certificate has.
        host = session.target.host.partition("%")[0].rstrip(".")
        session.tls = Tls(session.descriptor, self._context, self._name or host)
        self.handshakes.add(session)

    def go_on(self, session: TlsSession) -> None:
        """Go on with a handshake; what comes of it goes into the books."""
        try:
            done = session.tls.handshake()
        except EOFError:
            self._fail(session, reasons.FIN, "the peer ended the handshake")
        except OSError as failure:
            self._fail(session, reasons.reason_of(failure.errno), str(failure.strerror))
        else:
            if done:
                self._establish(session)

    def _establish(self, session: TlsSession) -> None:
        """Let a session be held; from its `since` the holder takes how long the connect took."""
        self._holder.latencies.tls.raw.record(monotonic() - session.connected)
        session.since += self._reactor.now - session.connected
        self._holder.establish([session])
        self._reactor.again(session, READ)

    def _fail(self, session: TlsSession, reason: str, why: str) -> None:
        log.info("Handshake of %s failed: %s", session, why)
        self._holder.opener.fail(session, reason)
