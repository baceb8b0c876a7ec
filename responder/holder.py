"""The keeper of the clients: accepts them, counts how they end, pauses the listeners when there is no room."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from os import set_blocking
from time import sleep
from typing import Final

from common import reasons, shortages
from common.addresses import Address, address_key
from common.reactor import Reactor
from common.shortages import Shortages, highest_descriptor
from common.sockets import reset_at_close
from common.table import DEFAULT_HASHSIZE, SessionTable
from responder.behaviours.active import Active
from responder.behaviours.behaviour import Behaviour
from responder.behaviours.echo import Echo
from responder.behaviours.serve import Serve
from responder.behaviours.sink import Sink
from responder.behaviours.tls import TLS_BEHAVIOURS
from responder.client import Client
from responder.doors import Doors
from responder.listener import Listener
from responder.settings import Settings, check_mode
from responder.tls import makes_clients
from responder.watch import Watch

log = logging.getLogger("sessioner.responder")

_BEHAVIOURS: Final[dict[str, type[Behaviour]]] = {made.mode: made for made in (Echo, Sink, Active, Serve)}

# Descriptors of a process that are neither clients nor listeners: its loop, its timers, its connection.
_OWN: Final = 40

# Clients accepted on one listener before the others have their turn: a millisecond.
_AT_ONCE: Final = 64

# Seconds after which accepting is tried again though no client has ended, and after which a shortage that has not
# come back is over.
_SETTLED: Final = 1.0

# Clients a second that make a rush, and seconds for which the next ones then gather. Being woken for each client costs
# either end several microseconds; the first echo to a client in a rush is at most so much later.
_RUSH: Final = 10_000
_MOMENT: Final = 0.001


def capacity(listeners: int) -> int:
    """Return how many clients a process has room for beside so many listeners, under its limit now."""
    return max(1, highest_descriptor() - _OWN - listeners)


class Holder:
    """The clients of all listeners on one reactor, in one table."""

    def __init__(self, reactor: Reactor, settings: Settings) -> None:
        self.table: SessionTable[Client] = SessionTable(settings.hashsize)
        self.listeners: SessionTable[Listener] = SessionTable(DEFAULT_HASHSIZE)
        self.doors = Doors(reactor)
        # Listeners that were removed and have clients still, by their key: an address may have had several in turn.
        self.left: dict[int, set[Listener]] = {}
        self.behaviours: dict[str, Behaviour] = {}
        self.watch = Watch()
        self.accepted = 0
        self.accept_errors = 0
        self.losses: Counter[str] = Counter()
        self.shortages = Shortages("no more clients are accepted until there is room, those accepted go on")
        self.paused = False
        self.resting = False
        self._reactor = reactor
        self._settings = settings
        self.highest = highest_descriptor()
        self._freed = False
        self._try_again = False
        self._make = makes_clients(reactor, self, settings.tls) if settings.tls else Client
        self._behaviours = TLS_BEHAVIOURS if settings.tls else _BEHAVIOURS
        self._changed_at = reactor.now
        self._awaited = 0
        self._arriving = 0
        self._arrived_at = 0.0
        self._enough: asyncio.Future[None] | None = None
        reactor.on_beat(self._beat)

    def behaviour(self, mode: str) -> Behaviour:
        """Return the one behaviour of a mode; raises UsageError where the settings lack what it needs."""
        if mode not in self.behaviours:
            check_mode(mode, self._settings)
            self.behaviours[mode] = self._behaviours[mode](self._reactor, self, self.watch, self._settings)
        return self.behaviours[mode]

    def accept(self, listener: Listener) -> None:
        """Accept what is queued on a listener, as far as there is room."""
        now, highest = self._reactor.now, self.highest
        accept, add, key_of = listener.accept, self._reactor.add, listener.client_key
        events, make = listener.behaviour.events, self._make
        clients: list[Client] = []
        for _ in range(min(listener.queued(), _AT_ONCE)):
            try:
                descriptor, peer = accept()
            except OSError as failure:
                if self._survive(failure):
                    continue
                break
            set_blocking(descriptor, False)
            try:
                client = make(descriptor, key_of(peer), listener, now)
                add(descriptor, client, events)
            except OSError as failure:
                self._turn_away(descriptor, failure)
                break
            clients.append(client)
            if descriptor >= highest:
                self._pause(shortages.DESCRIPTORS, try_again=False)
                break
        self.table.add(clients)
        if self._make is Client:
            listener.behaviour.accepted(clients)
        if clients and listener.behaviour.stays:
            if not self._arriving:
                self._reactor.after_batch(self._moderate)
            self._arriving += len(clients)
        listener.accepted += len(clients)
        listener.held += len(clients)
        self.accepted += len(clients)
        if log.isEnabledFor(logging.DEBUG):
            for client in clients:
                log.debug("Accepted %s", client)
        if self._enough and self.table.count >= self._awaited:
            self._enough.set_result(None)
            self._enough, self._awaited = None, 0

    async def wait_clients(self, count: int) -> None:
        """Return when at least so many clients are connected."""
        while self.table.count < count:
            self._awaited = min(self._awaited or count, count)
            if self._enough is None:
                self._enough = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._enough)

    def add(self, listener: Listener) -> None:
        """Begin to accept on a listener; raises OSError, and changes nothing."""
        self.doors.add(listener)
        self.listeners.add((listener,))

    def set_resting(self, resting: bool) -> None:
        """Accept nothing, for others do, or accept again."""
        self.resting = resting
        if resting:
            # What lacks is no matter where nothing is accepted.
            self.paused = False
            self._changed_at = self._reactor.now
        if not self.paused:
            self.doors.set_open(not resting)

    def remove(self, listener: Listener) -> None:
        """Stop listening; the listener's clients stay, and it is known until the last of them is gone."""
        self.listeners.remove(listener)
        self.doors.remove(listener)
        self._freed = True
        if listener.held:
            self.left.setdefault(listener.key, set()).add(listener)

    def at(self, address: Address) -> set[Listener]:
        """Return the listener on an address, and those that were there and have clients still; O(1)."""
        key = address_key(*address)
        return {*self.listeners.find(key), *self.left.get(key, ())}

    def left_by(self, listeners: Iterable[Listener]) -> Iterator[Listener]:
        """Yield those that were where these are, and have clients still."""
        return chain.from_iterable(self.left.get(listener.key, ()) for listener in listeners)

    def all_listeners(self) -> Iterator[Listener]:
        """Yield every listener, and those that were removed and have clients still."""
        return chain(self.doors.listeners.values(), *self.left.values())

    def ended(self, client: Client, reason: str) -> None:
        """Count a client that ended unasked, and close our side."""
        self.losses[reason] += 1
        log.info("Lost %s: %s", client, reason)
        if reason == reasons.FIN:
            client.notify_close()
        self._release(client)

    def served(self, client: Client) -> None:
        """Close our side of a client that has got all it was to get."""
        log.debug("Served %s", client)
        client.notify_close()
        self._release(client)

    def drop(self, client: Client, reset: bool) -> None:
        """End a client's session on purpose, by RST or by FIN."""
        if reset:
            reset_at_close(client.descriptor)
        else:
            client.notify_close()
        self._release(client)

    def close_all(self) -> None:
        """Release everything at once, at the end of the process."""
        for handler in self._reactor.handlers:
            if isinstance(handler, Client):
                handler.notify_close()
                os.close(handler.descriptor)
        self.doors.close()

    def _release(self, client: Client) -> None:
        self._freed = True
        if self.watch.on:
            self.watch.ended(client)
        listener = client.listener
        listener.held -= 1
        if not listener.held and self.left:
            self._forget(listener)
        self.table.remove(client)
        self._reactor.forget(client.descriptor)
        os.close(client.descriptor)
        client.descriptor = -1
        client.unsent = None

    def _forget(self, listener: Listener) -> None:
        """Keep nothing of a listener without clients, if it was removed."""
        same = self.left.get(listener.key, set())
        same.discard(listener)
        if not same:
            self.left.pop(listener.key, None)

    def _moderate(self) -> None:
        """Let clients that arrive in a rush gather for a moment, as a network card does with its interrupts."""
        now = self._reactor.now
        if self._arriving > _RUSH * (now - self._arrived_at):
            sleep(_MOMENT)
        self._arriving, self._arrived_at = 0, now

    def _survive(self, failure: OSError) -> bool:
        """Deal with an error of accept(2); return whether the next in the queue may be accepted."""
        if isinstance(failure, BlockingIOError):
            return False
        kind = shortages.kind_of(failure.errno)
        if kind:
            self._pause(kind, try_again=True)
            return False
        self.accept_errors += 1
        log.debug("Accept failed: %s", failure)
        return True

    def _turn_away(self, descriptor: int, failure: OSError) -> None:
        """Close a session that the kernel has no room for in the epoll, or TLS none at all."""
        os.close(descriptor)
        self.accept_errors += 1
        log.debug("Accept failed: %s", failure)
        self._pause(shortages.kind_of(failure.errno) or shortages.MEMORY, try_again=True)

    def _pause(self, kind: str, *, try_again: bool) -> None:
        """Accept nothing until a client or listener is gone, or, where others may use up what lacks, for a while."""
        self.shortages.begin(kind)
        self.paused = True
        self._freed = False
        self._try_again = try_again
        self._changed_at = self._reactor.now
        self.doors.set_open(False)

    def _beat(self) -> None:
        """Accept again when there may be room, and end a shortage that has not come back."""
        settled = self._reactor.now - self._changed_at > _SETTLED
        if self.paused and (self._freed or (settled and self._try_again)):
            self.paused = False
            self._changed_at = self._reactor.now
            self.doors.set_open(not self.resting)
        elif not self.paused and settled:
            self.shortages.end_all()
