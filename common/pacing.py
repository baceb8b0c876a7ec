"""When the next thing is due at a given rate."""

import math
from typing import Final

# What a stall delayed is not made up for by a burst longer than this many seconds of the rate.
_MOST_BEHIND: Final = 0.1


class Pace:
    """A steady rate: the times are arguments, monotonic seconds."""

    __slots__ = ("_next", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._next = now

    def due(self, now: float) -> int:
        """Return how many are due by `now`."""
        self._next = max(self._next, now - _MOST_BEHIND)
        return math.floor((now - self._next) * self.rate + 1e-9) + 1 if now >= self._next else 0

    def done(self, count: int = 1) -> None:
        """Take note that so many of those due have been done."""
        self._next += count / self.rate

    def wait(self, now: float) -> float:
        """Return the seconds until the next one is due."""
        return max(0.0, self._next - now)
