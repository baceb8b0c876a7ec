"""The active behaviour: a message is sent to each client, so many times a second or as fast as the client takes it."""

from collections.abc import Iterable
from typing import Final

from common import reasons
from common.reactor import WRITE, Job, Reactor
from responder.behaviours.behaviour import CHUNK, INPUT, READING, Behaviour, Keeper, Messages
from responder.client import Client
from responder.rounds import Rounds
from responder.settings import Settings
from responder.watch import Watch

# Bytes that one client is given in one turn.
_MOST: Final = 1 << 24

# Clients that are sent to in one step: a tenth of a millisecond.
_AT_ONCE: Final = 16

# Clients counted in one step that have missed their turn: a tenth of a millisecond.
_COUNTED: Final = 256

_BOTH: Final = READING | WRITE


class Active(Behaviour):
    """With a rate, clients are sent to in rounds, each in the slot that its descriptor belongs to.

    A client that has not taken what it was sent before, and a turn that comes too late, miss their messages: they are
    counted, and not made up for. What clients send is discarded.
    """

    mode = "active"

    def __init__(self, reactor: Reactor, keeper: Keeper, watch: Watch, settings: Settings) -> None:
        super().__init__(reactor, keeper, watch, settings)
        message, rate = settings.message or b"", settings.message_rate
        size = len(message)
        self.waiting = _BOTH
        self._rounds: Rounds | None = None
        if rate is None:
            self.events = _BOTH
            self._messages = Messages(message, max(1, CHUNK // size))
        else:
            self.events = READING
            self._rounds = Rounds(rate, max(1, _MOST // size))
            self._messages = Messages(message, self._rounds.each)
            self._slots: list[set[Client]] = [set() for _ in range(self._rounds.slots)]
            self._turning = False

    def accepted(self, clients: Iterable[Client]) -> None:
        """Send to these clients in every round from now on."""
        if self._rounds is None:
            return
        slots = self._slots
        for client in clients:
            slots[client.descriptor % len(slots)].add(client)
        if not self._turning:
            self._turning = True
            self._rounds.begin(self._reactor.now)
            self._start()

    def ready(self, client: Client, events: int) -> None:
        """Handle what epoll reported on a client.

        It is read, so that its end is noticed, while messages wait; what another behaviour has left goes out first.
        """
        if client.descriptor < 0:
            return
        if client.unsent is not None and client.unsent is not self._messages:
            super().ready(client, events)
            return
        try:
            if events & INPUT:
                self._read(client, events)
            if events & WRITE and client.descriptor >= 0:
                self._go_on(client)
        except OSError as failure:
            self._keeper.ended(client, reasons.reason_of(failure.errno))

    def _go_on(self, client: Client) -> None:
        """Send what waits, and, without a rate, more of the same."""
        client.active = self._reactor.now
        if client.unsent is not None and not self._flush(client):
            return
        if self._rounds is None and self._begin(client, self._messages):
            self._register(client)

    def _start(self) -> None:
        assert self._rounds
        self._reactor.start(self._take_turn(self._rounds))

    def _take_turn(self, rounds: Rounds) -> Job:
        """Send to the clients in the slot whose turn it is."""
        slot = self._slots[rounds.slot]
        for number, client in enumerate(tuple(slot), 1):
            if not self._treats(client):
                slot.discard(client)
            elif client.unsent is not None:
                self.missed += rounds.each
            else:
                self._give(client)
            if number % _AT_ONCE == 0:
                yield
        yield from self._turn_later(rounds)

    def _give(self, client: Client) -> None:
        client.active = self._reactor.now
        try:
            self._begin(client, self._messages)
        except OSError as failure:
            self._keeper.ended(client, reasons.reason_of(failure.errno))

    def _turn_later(self, rounds: Rounds) -> Job:
        """Wait for the next turn, unless nobody is left; those whose time is over by now are missed."""
        if not any(self._slots):
            self._turning = False
            return
        counted = 0
        for slot, times in rounds.go_on(self._reactor.now):
            for client in tuple(self._slots[slot]):
                self.missed += times * rounds.each * self._treats(client)
                counted += 1
                if counted % _COUNTED == 0:
                    yield
        self._reactor.call_later(rounds.wait(self._reactor.now), self._start)

    def _treats(self, client: Client) -> bool:
        """Return whether a client is still there, and still treated like this."""
        return client.descriptor >= 0 and client.listener.behaviour is self
