"""A latency histogram: high dynamic range, flat cost a record, bounded memory.

Values are whole microseconds from 1 µs to 100 s, kept to three significant digits: below 2,048 µs each value has a
count of its own, and from there each doubling of the value has 1,024 of them (http://hdrhistogram.org).
"""

import math
import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import sub
from typing import Final

LOWEST: Final = 1
HIGHEST: Final = 100_000_000

_HALF_BITS: Final = 10
_WHOLE_BITS: Final = _HALF_BITS + 1
_WHOLE: Final = 1 << _WHOLE_BITS

# Distinct values kept aside before they are added to the counts, a hundred bytes each; and from how many seconds on too
# few are the same for that: the last of many is looked at, for those that come together are alike.
_KEPT: Final = 1024
_LONG: Final = 0.016

# Counts that are made room for at once: 8 kB, and most latencies need no more than a few of these.
_ROOM: Final = 1 << _HALF_BITS


class Histogram:
    """Counts of latencies; `record` is O(1), `percentiles` is O(distinct values).

    What is recorded is counted aside first, in `_kept`, in whole microseconds and also out of range: adding many values
    to a dictionary is what Python does fastest. All else is worked out for each distinct value, by `_settle`, when it
    is asked for or when there are more than a thousand of them.
    """

    __slots__ = ("_counts", "_highest", "_kept", "_lowest", "_total", "count")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._counts = array("Q")
        self._kept: Counter[int] = Counter()
        self.count = 0
        self._total = 0
        self._lowest = HIGHEST
        self._highest = 0

    def record(self, seconds: float) -> None:
        """Count one latency; what is out of range is counted as the nearest value in range."""
        self.record_many((seconds,))

    def record_same(self, seconds: float, times: int) -> None:
        """Count one latency so many times; out of range is as for `record`."""
        self._kept[int(seconds * 1_000_000)] += times
        self.count += times
        if len(self._kept) > _KEPT:
            self._settle()

    def record_many(self, latencies: Sequence[float]) -> None:
        """Count many latencies, in seconds, cheapest by some hundreds at once; out of range is as for `record`."""
        if latencies and latencies[-1] >= _LONG:
            self._count_long(sorted([seconds * 1_000_000 for seconds in latencies]))
        else:
            self._kept.update([int(seconds * 1_000_000) for seconds in latencies])
        self.count += len(latencies)
        if len(self._kept) > _KEPT:
            self._settle()

    @property
    def total(self) -> int:
        """The sum of all values in whole microseconds."""
        self._settle()
        return self._total

    @property
    def mean(self) -> float:
        """The mean in seconds, 0.0 when nothing has been recorded."""
        return self.total / self.count / 1_000_000 if self.count else 0.0

    @property
    def lowest(self) -> float:
        """The least value in seconds, 0.0 when nothing has been recorded."""
        self._settle()
        return self._lowest / 1_000_000 if self.count else 0.0

    @property
    def highest(self) -> float:
        """The greatest value in seconds, 0.0 when nothing has been recorded."""
        self._settle()
        return self._highest / 1_000_000

    def percentiles(self, wanted: Sequence[float]) -> list[float]:
        """Return, in seconds, the value that each percentile of 0-100 is not above.

        The value is the greatest that shares the count (within 0.1 %), never above the greatest recorded; all are
        0.0 when nothing has been recorded.
        """
        if not self.count:
            return [0.0] * len(wanted)
        self._settle()
        first, last = _index(self._lowest), _index(self._highest)
        so_far = list(accumulate(self._counts[first : last + 1]))
        ranks = [max(1, math.ceil(round(self.count * percent / 100, 6))) for percent in wanted]
        return [self._shown(first + bisect_left(so_far, rank)) / 1_000_000 for rank in ranks]

    def merge(self, *others: "Histogram") -> None:
        """Add the counts of others: nothing is lost.

        All counts of one are added as a single long number, fifty times as fast as one by one.
        """
        for other in others:
            other._settle()
        highest = max((other._highest for other in others), default=0)
        counts = self._room_for(highest)
        whole = sum((_as_number(other._counts) for other in others), _as_number(counts))
        counts[:] = array("Q", whole.to_bytes(counts.itemsize * len(counts), sys.byteorder))
        for other in others:
            self.count += other.count
            self._total += other._total
            self._lowest = min(self._lowest, other._lowest)
            self._highest = max(self._highest, other._highest)

    def copy(self) -> "Histogram":
        """Return one with the counts of this moment; tens of microseconds."""
        self._settle()
        made = Histogram.__new__(Histogram)
        made._counts = self._counts[:]
        made._kept = Counter()
        made.count = self.count
        made._total = self._total
        made._lowest = self._lowest
        made._highest = self._highest
        return made

    def __getstate__(self) -> tuple[int, bytes, int, int, int, int]:
        """Return what a pickle carries: the counts from the first to the last that is not 0; nothing is lost."""
        self._settle()
        first = _index(min(self._lowest, self._highest))
        counts = self._counts[first : _index(self._highest) + 1]
        return first, counts.tobytes(), self.count, self._total, self._lowest, self._highest

    def __setstate__(self, state: tuple[int, bytes, int, int, int, int]) -> None:
        """Take over what a pickle carries."""
        self.reset()
        first, data, self.count, self._total, self._lowest, self._highest = state
        places, counts = self._room_for(self._highest), array("Q", data)
        places[first : first + len(counts)] = counts

    def since(self, before: "Histogram") -> "Histogram":
        """Return the counts that have come since an earlier copy, or all if it was reset meanwhile; a millisecond.

        `lowest` and `highest` are within 0.1 %.
        """
        made = self.copy()
        before._settle()
        if len(before._counts) > len(self._counts):
            return made
        try:
            made._counts[: len(before._counts)] = array("Q", map(sub, self._counts, before._counts))
        except OverflowError:  # fewer than before: a reset
            return made
        counts = made._counts.tobytes()
        # The places of the first and of the last byte that is not 0, and of the counts that they are in.
        first = (len(counts) - len(counts.lstrip(b"\0"))) // made._counts.itemsize
        last = (len(counts.rstrip(b"\0")) - 1) // made._counts.itemsize
        made.count -= before.count
        made._total -= before._total
        made._lowest = self._shown(first) if made.count else HIGHEST
        made._highest = self._shown(last) if made.count else 0
        return made

    def cumulative(self, bounds: Sequence[float]) -> list[int]:
        """Return how many values are not above each of the bounds, which ascend, in seconds.

        A value that shares its count with a bound is not above it: that is within 0.1 %.
        """
        self._settle()
        found, so_far, start = [], 0, 0
        for bound in bounds:
            end = _index(min(round(bound * 1_000_000), HIGHEST)) + 1
            so_far += sum(self._counts[start:end])
            found.append(so_far)
            start = end
        return found

    def sparse(self) -> list[tuple[int, int]]:
        """Return (microseconds, count) of every count that is not 0, ascending; `from_sparse` is the way back.

        Each value is the greatest that shares the count, never above the greatest recorded.
        """
        self._settle()
        first, last = _index(self._lowest), _index(self._highest)
        counts = self._counts[first : last + 1]
        return [(self._shown(index), counted) for index, counted in enumerate(counts, first) if counted]

    @classmethod
    def from_sparse(cls, counts: Iterable[tuple[int, int]], total: int | None = None) -> "Histogram":
        """Return one with the counts that `sparse` gave, also after they went through JSON.

        No count is lost, nor `highest`; `lowest` is within 0.1 %, and so is `mean` unless the `total` comes along.
        """
        made = cls()
        made._kept.update(dict(counts))
        made.count = sum(made._kept.values())
        made._settle()
        if total is not None:
            made._total = total
        return made

    def values(self) -> list[tuple[float, int]]:
        """Return (seconds, count) of every value recorded, ascending; each is the greatest that shares the count."""
        return [(value / 1_000_000, counted) for value, counted in self.sparse()]

    def _shown(self, index: int) -> int:
        """Return the value that stands for all that are counted at an index."""
        return min(_top(index), self._highest)

    def _settle(self) -> None:
        """Add what was counted aside to the counts."""
        if not self._kept:
            return
        lowest, highest = min(self._kept), max(self._kept)
        if lowest < LOWEST or highest > HIGHEST:
            self._bring_into_range()
            lowest, highest = min(self._kept), max(self._kept)
        self._lowest = min(lowest, self._lowest)
        self._highest = max(highest, self._highest)
        counts, total = self._room_for(highest), 0
        for value, counted in self._kept.items():
            total += value * counted
            # As in `_index`, without the call.
            if value < _WHOLE:
                counts[value] += counted
            else:
                shift = value.bit_length() - _WHOLE_BITS
                counts[(shift << _HALF_BITS) + (value >> shift)] += counted
        self._total += total
        self._kept.clear()

    def _count_long(self, values: list[float]) -> None:
        """Count values in order without counting them aside: those that come together share few of the counts."""
        if values[0] < LOWEST or values[-1] > HIGHEST:
            values = [min(max(int(value), LOWEST), HIGHEST) for value in values]
        self._total += sum(map(int, values))
        self._lowest = min(int(values[0]), self._lowest)
        self._highest = max(int(values[-1]), self._highest)
        counts, at = self._room_for(self._highest), 0
        while at < len(values):
            index = _index(int(values[at]))
            behind = bisect_left(values, _top(index) + 1, at)
            counts[index] += behind - at
            at = behind

    def _room_for(self, highest: int) -> "array[int]":
        """Return the counts, with places for values up to the highest."""
        counts, most = self._counts, _index(highest)
        if most >= len(counts):
            counts.frombytes(bytes(counts.itemsize * (most // _ROOM * _ROOM + _ROOM - len(counts))))
        return counts

    def _bring_into_range(self) -> None:
        kept = self._kept
        for value in [value for value in kept if not LOWEST <= value <= HIGHEST]:
            kept[min(max(value, LOWEST), HIGHEST)] += kept.pop(value)


def _as_number(counts: "array[int]") -> int:
    """Return counts as one number, in which none of them reaches the next: each has 64 bits."""
    return int.from_bytes(counts.tobytes(), sys.byteorder)


def _index(value: int) -> int:
    shift = max(0, value.bit_length() - _WHOLE_BITS)
    return (shift << _HALF_BITS) + (value >> shift)


def _top(index: int) -> int:
    """Return the greatest value that is counted at an index."""
    shift = max(0, (index >> _HALF_BITS) - 1)
    return ((index - (shift << _HALF_BITS) + 1) << shift) - 1
