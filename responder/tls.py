"""Clients that speak TLS: they are treated as their listener's mode says when the handshake is done."""

import logging
import ssl
from collections.abc import Callable
from functools import partial
from select import EPOLLHUP
from typing import TYPE_CHECKING

from common import reasons
from common.reactor import READ, WRITE, Reactor
from common.tls import Handshakes, Tls, server_context
from responder.client import Client
from responder.settings import Tls as Settings

if TYPE_CHECKING:
    from responder.behaviours.behaviour import Keeper
    from responder.listener import Listener

log = logging.getLogger("sessioner.responder")


class Secure:
    """What all clients share: one context, and their handshakes. Raises UsageError where the settings do not do."""

    def __init__(self, reactor: Reactor, keeper: "Keeper", settings: Settings) -> None:
        self.context: ssl.SSLContext = server_context(settings.certificate, settings.key)
        self.handshakes = Handshakes(reactor)
        self.keeper = keeper
        self.reactor = reactor


class TlsClient(Client):
    """A client with its TLS; `done` says that the handshake is."""

    __slots__ = ("_secure", "done", "tls")

    def __init__(self, secure: Secure, descriptor: int, key: int, listener: "Listener", now: float) -> None:
        super().__init__(descriptor, key, listener, now)
        self._secure = secure
        self.done = False
        self.tls = Tls(descriptor, secure.context)

    def notify_close(self) -> None:
        """Say that nothing more will be sent."""
        if self.done:
            self.tls.notify_close()

    def ready(self, events: int) -> None:
        """Handle what epoll reported."""
        if self.descriptor < 0:
            return
        if not self.done:
            self._secure.handshakes.add(self)
            return
        if self.tls.unsent and events & WRITE:
            try:
                self.tls.flush()
            except OSError as failure:
                self._secure.keeper.ended(self, reasons.reason_of(failure.errno))
                return
        # A read that is short does not say that no more has come, so reading goes on as it does when all is over.
        self.listener.behaviour.ready(self, events | EPOLLHUP)

    def go_on(self) -> None:
        """Go on with the handshake, if it is still under way."""
        if self.done or self.descriptor < 0:
            return
        try:
            self.done = self.tls.handshake()
        except EOFError:
            self._secure.keeper.ended(self, reasons.FIN)
        except OSError as failure:
            log.info("Handshake with %s failed: %s", self.peer, failure.strerror)
            self._secure.keeper.ended(self, reasons.reason_of(failure.errno))
        if self.done:
            self.listener.behaviour.accepted((self,))
            self._secure.reactor.again(self, READ | WRITE)


def makes_clients(
    reactor: Reactor, keeper: "Keeper", settings: Settings
) -> Callable[[int, int, "Listener", float], Client]:
    """Return what makes a client of a descriptor, as Client does; raises UsageError where the settings do not do."""
    return partial(TlsClient, Secure(reactor, keeper, settings))
