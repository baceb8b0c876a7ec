"""The one queue of due times, in coarse ticks.

An item is filed under the tick it is due at, and carries that tick in `due`. Filing it again or cancelling it
only changes `due`: what is left behind under the old tick no longer matches, and is dropped when that tick comes
or, where such leftovers outnumber what is live, when a bounded part of the queue is swept at each expiry.
"""

from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from sortedcontainers import SortedDict

# Seconds a tick lasts: nothing filed here (pings, timeouts, pauses) is worth a finer one.
TICK: Final = 0.1

# Entries looked at in one step of a sweep: a fraction of a millisecond.
_SWEPT_AT_ONCE: Final = 2_000


class Item(Protocol):
    """What can be due: `due` is the tick it is filed under, 0 when it is not."""

    due: int


T = TypeVar("T", bound=Item)


class _Bucket(list[T]):
    """The items filed under one tick, which share its number: one of its own takes each item 32 bytes."""

    __slots__ = ("tick",)

    def __init__(self, tick: int) -> None:
        super().__init__()
        self.tick = tick


class Deadlines(Generic[T]):
    """Items by the tick they are due at; filing, cancelling and expiring are O(log ticks) an item."""

    __slots__ = ("_live", "_stale", "_sweep", "_swept", "_ticks")

    def __init__(self) -> None:
        self._ticks: SortedDict[int, _Bucket[T]] = SortedDict()
        self._live = 0
        self._stale = 0
        self._sweep: list[int] = []  # the ticks still to be swept, and how much of the last one has been
        self._swept = 0

    def __len__(self) -> int:
        """Return how many items are filed."""
        return self._live

    def file(self, item: T, when: float) -> None:
        """Let an item be due at the first tick not before `when` (monotonic seconds), and only then."""
        tick = int(when / TICK) + 1
        if item.due:
            if item.due == tick:
                return
            self._stale += 1
        else:
            self._live += 1
        bucket = self._ticks.get(tick)
        if bucket is None:
            bucket = self._ticks[tick] = _Bucket(tick)
        bucket.append(item)
        item.due = bucket.tick

    def cancel(self, item: T) -> None:
        """Let an item not be due; nothing happens when it is not."""
        if item.due:
            item.due = 0
            self._live -= 1
            self._stale += 1

    def any_expired(self, now: float) -> bool:
        """Return whether a tick has come that something was filed under; O(1)."""
        return bool(self._ticks) and self._ticks.peekitem(0)[0] <= int(now / TICK)

    def expired(self, now: float) -> Iterator[T | None]:
        """Take out and yield, earliest tick first, what is due at `now` (monotonic seconds).

        An item that is yielded is not filed any more. None stands for many leftovers passed over: a time to let others
        have their turn. The iterator may be left and a new one asked for at any time.
        """
        last = int(now / TICK)
        while self._ticks:
            tick, bucket = self._ticks.peekitem(0)
            if tick > last:
                break
            while bucket:
                item = bucket.pop()
                if item.due == tick:
                    item.due = 0
                    self._live -= 1
                    yield item
                else:
                    self._stale -= 1
                    if self._stale % _SWEPT_AT_ONCE == 0:
                        yield None
            del self._ticks[tick]

    def tidy(self) -> None:
        """Drop a bounded number of leftovers when they outnumber what is live."""
        if not self._sweep and self._stale > self._live + _SWEPT_AT_ONCE:
            self._sweep = list(self._ticks)
        left = _SWEPT_AT_ONCE
        while self._sweep and left:
            tick = self._sweep[-1]
            bucket = self._ticks.get(tick, ())
            part = bucket[self._swept : self._swept + left]
            if not part:
                self._sweep.pop()
                self._swept = 0
                continue
            live = [item for item in part if item.due == tick]
            bucket[self._swept : self._swept + len(part)] = live
            self._stale -= len(part) - len(live)
            self._swept += len(live)
            left -= len(part)

    def check(self) -> None:
        """Assert every invariant; O(n), for tests."""
        filed = [(tick, item) for tick, bucket in self._ticks.items() for item in bucket]
        live = {id(item) for tick, item in filed if item.due == tick}
        assert len(live) == self._live
        assert len(filed) - len(live) == self._stale
