"""The behaviours over TLS: what they do is the same, how it is read and sent is not."""

from typing import Final, cast

from common.reactor import EDGE, READ, WRITE, Reactor
from responder.behaviours.active import Active
from responder.behaviours.behaviour import Behaviour, Keeper
from responder.behaviours.echo import Echo
from responder.behaviours.serve import Serve
from responder.behaviours.sink import Sink
from responder.client import Client
from responder.settings import Settings
from responder.tls import TlsClient
from responder.watch import Watch

# Records (16 KiB at most) of one client before the others have their turn: a fraction of a millisecond.
_RECORDS: Final = 8

_BOTH: Final = READ | WRITE | EDGE


class _OverTls(Behaviour):
    """What a behaviour does differently over TLS.

    What TLS has taken is sent, as far as the one who sends is concerned; as ciphertext it may still wait for room. So
    both directions are reported always, and while ciphertext waits nothing is read, and nobody is told to have got
    all: whoever has is closed.
    """

    def __init__(self, reactor: Reactor, keeper: Keeper, watch: Watch, settings: Settings) -> None:
        super().__init__(reactor, keeper, watch, settings)
        self.events = self.waiting = _BOTH
        self._reads = _RECORDS

    def take_over(self, client: Client) -> None:
        """Treat a client like this, now or when its handshake is done."""
        if cast(TlsClient, client).done:
            super().take_over(client)

    def _receive(self, descriptor: int, buffers: list[bytearray]) -> int:  # type: ignore[override]
        tls = self._of(descriptor).tls
        if tls.unsent:
            raise BlockingIOError
        return tls.receive(buffers)

    def _transmit(self, descriptor: int, data: memoryview) -> int:  # type: ignore[override]
        return self._of(descriptor).tls.send(data)

    def _of(self, descriptor: int) -> TlsClient:
        return cast(TlsClient, self._reactor.handlers[descriptor])

    def _write(self, client: Client) -> bool:
        unsent = client.unsent
        if not super()._write(client):
            return False
        if not cast(TlsClient, client).tls.unsent:
            return True
        assert unsent is not None
        client.unsent, client.position = unsent, len(unsent)
        return False

    def _register(self, client: Client) -> None:
        """Have reported what matters now, what TLS has in store included."""
        super()._register(client)
        if cast(TlsClient, client).tls.pending:
            self._reactor.again(client, READ)


class _Echo(_OverTls, Echo):
    pass


class _Sink(_OverTls, Sink):
    pass


class _Active(_OverTls, Active):
    def _receive(self, descriptor: int, buffers: list[bytearray]) -> int:  # type: ignore[override]
        """Read while ciphertext waits, too: the end of a client that takes nothing is to be noticed."""
        return self._of(descriptor).tls.receive(buffers)


class _Serve(_OverTls, Serve):
    pass


TLS_BEHAVIOURS: Final[dict[str, type[Behaviour]]] = {made.mode: made for made in (_Echo, _Sink, _Active, _Serve)}
