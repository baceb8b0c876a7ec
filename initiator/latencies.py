"""The latencies that an initiator measures, by name."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from common.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Latency:
    """One latency: corrected counts from when a thing was due, raw from when it was really sent."""

    corrected: Histogram = field(default_factory=Histogram)
    raw: Histogram = field(default_factory=Histogram)

    def reset(self) -> None:
        """Start afresh."""
        self.corrected.reset()
        self.raw.reset()

    def copy(self) -> "Latency":
        """Return the counts of this moment."""
        return Latency(self.corrected.copy(), self.raw.copy())


@dataclass(frozen=True, slots=True)
class Latencies:
    """All of them, and how late things were sent (in `late.raw`).

    `connect` counts from the SYN to the establishment, `tls` from there to the end of the handshake, where there is
    one, `first_byte` from there to the first byte heard, where the peer spoke unasked or `send` at once: elsewhere that
    would be how long the session was idle. Neither these nor `ping` keep to a schedule, so they have no corrected
    figure.
    """

    connect: Latency = field(default_factory=Latency)
    tls: Latency = field(default_factory=Latency)
    first_byte: Latency = field(default_factory=Latency)
    query: Latency = field(default_factory=Latency)
    message: Latency = field(default_factory=Latency)
    ping: Latency = field(default_factory=Latency)
    late: Latency = field(default_factory=Latency)

    def named(self) -> Iterator[tuple[str, Latency]]:
        """Yield each with its name."""
        for name in self.__slots__:
            yield name.replace("_", " "), getattr(self, name)

    def reset(self) -> None:
        """Start all afresh."""
        for _, latency in self.named():
            latency.reset()

    def copy(self) -> "Latencies":
        """Return the counts of this moment."""
        return Latencies(*(latency.copy() for _, latency in self.named()))
