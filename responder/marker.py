"""The marker in received data that tells when a message was sent: `SessionerTS-`, 16 hex digits, a full stop.

The digits are microseconds since the epoch. What is counted is a latency only where both ends have one clock.
"""

import re
from typing import Final

from common.histogram import Histogram
from common.rate import Rate
from responder.snapshot import MarkerFigures

_WORD: Final = b"SessionerTS-"
_DIGITS: Final = 16

# A marker that is not whole yet has fewer bytes than this.
WHOLE: Final = len(_WORD) + _DIGITS + 1

_MARKER: Final = re.compile(rb"%b([0-9a-fA-F]{%d})\." % (_WORD, _DIGITS))
_BEGINNINGS: Final = b"|".join(_WORD[:length] for length in range(len(_WORD) - 1, 0, -1))
_BEGINNING: Final = re.compile(rb"(?:%b[0-9a-fA-F]{0,%d}|%b)\Z" % (_WORD, _DIGITS, _BEGINNINGS))


class Marker:
    """Counts of markers found, and their latencies; of each stream it keeps the beginning of a marker at its end.

    `ahead` are those that were sent in the future by our clock: counted as messages, but not as latencies.
    """

    def __init__(self) -> None:
        self.messages = 0
        self.ahead = 0
        self.latency = Histogram()
        self.rate = Rate()
        self._beginnings: dict[object, bytes] = {}

    def scan(self, stream: object, data: bytes | memoryview, now: float) -> None:
        """Find the markers in what has come over a stream next, at `now` (seconds since the epoch)."""
        beginning = self._beginnings.pop(stream, None)
        if beginning:
            data = beginning + data
        stamps = _MARKER.findall(data)
        if stamps:
            latencies = [now - int(stamp, 16) / 1_000_000 for stamp in stamps]
            past = [latency for latency in latencies if latency >= 0]
            self.messages += len(stamps)
            self.ahead += len(stamps) - len(past)
            self.latency.record_many(past)
        begun = _BEGINNING.search(data[1 - WHOLE :])
        if begun:
            self._beginnings[stream] = begun[0]

    def forget(self, stream: object) -> None:
        """Drop what is kept of a stream that has ended."""
        self._beginnings.pop(stream, None)

    def figures(self) -> MarkerFigures:
        """Return what was counted."""
        p50, p99 = self.latency.percentiles((50, 99))
        return MarkerFigures(self.messages, self.rate.per_second, p50, p99, self.ahead)
