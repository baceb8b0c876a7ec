"""A latency histogram: high dynamic range, flat cost a record, fixed memory.

Values are whole microseconds from 1 µs to 100 s, kept to three significant digits: below 2,048 µs each value has a
count of its own, and from there each doubling of the value has 1,024 of them (http://hdrhistogram.org).
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

LOWEST: Final = 1
HIGHEST: Final = 100_000_000

_HALF_BITS: Final = 10
_WHOLE_BITS: Final = _HALF_BITS + 1
_WHOLE: Final = 1 << _WHOLE_BITS

# Distinct values kept aside before they are added to the counts.
_KEPT: Final = 4096


class Histogram:
    """Counts of latencies; `record` is O(1), `percentiles` is O(distinct values).

    What is recorded is counted aside first, in `_kept`: adding many values to a dictionary is what Python does fastest.
    """

    __slots__ = ("_counts", "_highest", "_kept", "_lowest", "count", "total")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * (_index(HIGHEST) + 1)))
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._counts = array("Q", bytes(8 * len(self._counts)))
        self._kept: Counter[int] = Counter()
        self.count = 0
        self.total = 0
        self._lowest = HIGHEST
        self._highest = 0

    def record(self, seconds: float) -> None:
        """Count one latency; what is out of range is counted as the nearest value in range."""
        self.record_many((seconds,))

    def record_many(self, latencies: Iterable[float]) -> None:
        """Count many latencies, in seconds: a quarter of a microsecond each for some hundreds."""
        values = [int(seconds * 1_000_000) for seconds in latencies]
        if not values:
            return
        lowest, highest = min(values), max(values)
        if lowest < LOWEST or highest > HIGHEST:
            values = [min(max(value, LOWEST), HIGHEST) for value in values]
            lowest, highest = min(values), max(values)
        self._lowest = min(lowest, self._lowest)
        self._highest = max(highest, self._highest)
        self.count += len(values)
        self.total += sum(values)
        if highest >= _WHOLE:
            values = [
                value
                if value < _WHOLE
                else ((shift := value.bit_length() - _WHOLE_BITS) << _HALF_BITS) + (value >> shift)
                for value in values
            ]
        self._kept.update(values)
        if len(self._kept) > _KEPT:
            self._settle()

    @property
    def mean(self) -> float:
        """The mean in seconds, 0.0 when nothing has been recorded."""
        return self.total / self.count / 1_000_000 if self.count else 0.0

    @property
    def lowest(self) -> float:
        """The least value in seconds, 0.0 when nothing has been recorded."""
        return self._lowest / 1_000_000 if self.count else 0.0

    @property
    def highest(self) -> float:
        """The greatest value in seconds, 0.0 when nothing has been recorded."""
        return self._highest / 1_000_000

    def percentiles(self, wanted: Sequence[float]) -> list[float]:
        """Return, in seconds, the value that each percentile of 0-100 (ascending) is not above.

        The value is the greatest that shares the count (within 0.1 %), never above the greatest recorded; all are
        0.0 when nothing has been recorded.
        """
        if not self.count:
            return [0.0] * len(wanted)
        self._settle()
        results: list[float] = []
        ranks = [max(1, math.ceil(round(self.count * percent / 100, 6))) for percent in wanted]
        seen, first = 0, _index(self._lowest)
        for index, counted in enumerate(self._counts[first : _index(self._highest) + 1], first):
            seen += counted
            while len(results) < len(ranks) and seen >= ranks[len(results)]:
                results.append(min(_top(index), self._highest) / 1_000_000)
        return results

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another one: nothing is lost."""
        self._settle()
        for index, counted in other.sparse():
            self._counts[index] += counted
        self.count += other.count
        self.total += other.total
        self._lowest = min(self._lowest, other._lowest)
        self._highest = max(self._highest, other._highest)

    def copy(self) -> "Histogram":
        """Return one with the counts of this moment."""
        made = Histogram()
        made.merge(self)
        return made

    def sparse(self) -> list[tuple[int, int]]:
        """Return (index, count) of every count that is not 0, ascending."""
        self._settle()
        if not self.count:
            return []
        first = _index(self._lowest)
        counts = self._counts[first : _index(self._highest) + 1]
        return [(index, counted) for index, counted in enumerate(counts, first) if counted]

    def values(self) -> list[tuple[float, int]]:
        """Return (seconds, count) of every value recorded, ascending; each is the greatest that shares the count."""
        return [(min(_top(index), self._highest) / 1_000_000, counted) for index, counted in self.sparse()]

    def _settle(self) -> None:
        """Add what was counted aside to the counts."""
        counts = self._counts
        for index, counted in self._kept.items():
            counts[index] += counted
        self._kept.clear()


def _index(value: int) -> int:
    shift = max(0, value.bit_length() - _WHOLE_BITS)
    return (shift << _HALF_BITS) + (value >> shift)


def _top(index: int) -> int:
    """Return the greatest value that is counted at an index."""
    shift = max(0, (index >> _HALF_BITS) - 1)
    return ((index - (shift << _HALF_BITS) + 1) << shift) - 1
