"""A latency histogram: high dynamic range, flat cost a record, fixed memory.

Values are whole microseconds from 1 µs to 100 s, kept to three significant digits: below 2,048 µs each value has a
count of its own, and from there each doubling of the value has 1,024 of them (http://hdrhistogram.org).
"""

import math
from array import array
from collections.abc import Sequence
from typing import Final

LOWEST: Final = 1
HIGHEST: Final = 100_000_000

_HALF_BITS: Final = 10
_HALF: Final = 1 << _HALF_BITS
_WHOLE_BITS: Final = _HALF_BITS + 1


class Histogram:
    """Counts of latencies; `record` is O(1), `percentiles` is O(distinct values)."""

    __slots__ = ("_counts", "_highest", "_lowest", "count", "total")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * (_index(HIGHEST) + 1)))
        self.count = 0
        self.total = 0
        self._lowest = HIGHEST
        self._highest = 0

    def record(self, seconds: float) -> None:
        """Count one latency; what is out of range is counted as the nearest value in range."""
        value = int(seconds * 1_000_000)
        if value < LOWEST:
            value = LOWEST
        elif value > HIGHEST:
            value = HIGHEST
        if value < self._lowest:
            self._lowest = value
        if value > self._highest:
            self._highest = value
        shift = value.bit_length() - _WHOLE_BITS
        if shift < 0:
            shift = 0
        self._counts[(shift << _HALF_BITS) + (value >> shift)] += 1
        self.count += 1
        self.total += value

    def percentiles(self, wanted: Sequence[float]) -> list[float]:
        """Return, in seconds, the value that each percentile of 0-100 (ascending) is not above.

        The value is the greatest that shares the count (within 0.1 %), never above the greatest recorded; all are
        0.0 when nothing has been recorded.
        """
        if not self.count:
            return [0.0] * len(wanted)
        results: list[float] = []
        ranks = [max(1, math.ceil(round(self.count * percent / 100, 6))) for percent in wanted]
        seen, first = 0, _index(self._lowest)
        for index, counted in enumerate(self._counts[first : _index(self._highest) + 1], first):
            seen += counted
            while len(results) < len(ranks) and seen >= ranks[len(results)]:
                results.append(min(_top(index), self._highest) / 1_000_000)
        return results


def _index(value: int) -> int:
    shift = max(0, value.bit_length() - _WHOLE_BITS)
    return (shift << _HALF_BITS) + (value >> shift)


def _top(index: int) -> int:
    """Return the greatest value that is counted at an index."""
    shift = max(0, (index >> _HALF_BITS) - 1)
    return ((index - (shift << _HALF_BITS) + 1) << shift) - 1
