"""Who looks at the traffic while that is asked for: the marker and the dump."""

from time import monotonic, time
from typing import TYPE_CHECKING

from common.dump import Dump
from responder.marker import Marker

if TYPE_CHECKING:
    from responder.client import Client


class Watch:
    """`on` is all that a read or a write asks for while nobody looks."""

    def __init__(self) -> None:
        self.on = False
        self.marker: Marker | None = None
        self.dump: Dump | None = None

    def set_marker(self, enabled: bool, now: float) -> None:
        """Look for markers from now on (monotonic seconds), and begin to count, or do so no more."""
        self.marker = Marker() if enabled else None
        self.sample(now)
        self._set_on()

    def set_dump(self, dump: Dump | None) -> None:
        """Show traffic, from now on or no more."""
        self.dump = dump
        self._set_on()

    def received(self, client: "Client", data: memoryview) -> None:
        """Look at what was read."""
        if self.marker:
            self.marker.scan(client, data, time())
        if self.dump:
            self.dump.received(client, data, monotonic())

    def sent(self, client: "Client", data: memoryview) -> None:
        """Look at what was written."""
        if self.dump:
            self.dump.sent(client, data, monotonic())

    def ended(self, client: "Client") -> None:
        """Keep nothing of a client."""
        if self.marker:
            self.marker.forget(client)

    def sample(self, now: float) -> None:
        """Take note of how many markers were found by `now` (monotonic seconds)."""
        if self.marker:
            self.marker.rate.sample(now, self.marker.messages)

    def _set_on(self) -> None:
        self.on = bool(self.marker or self.dump)
