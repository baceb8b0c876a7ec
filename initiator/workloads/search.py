"""The search for the highest rate that still does: by steps, then narrowed down; pure."""

from typing import Final

# The rate that a search begins at, and where it is that of each session.
START: Final = 100.0
START_EACH: Final = 10.0

# What the rate is raised by until it is too high, and how near the lowest bad one is to the highest good one at last.
_FACTOR: Final = 4.0
_PRECISION: Final = 0.03

# Below this rate the search is given up: nothing does.
_LOWEST: Final = 1.0


class RateSearch:
    """The rate to try next, from what was said of those before; `good` and `bad` are the bounds known so far."""

    def __init__(self, start: float) -> None:
        self.rate = start
        self.good = 0.0
        self.bad: float | None = None

    @property
    def done(self) -> bool:
        """Whether the bounds are close enough, or no rate does."""
        return self.rate < _LOWEST or (self.bad is not None and self.bad - self.good <= self.bad * _PRECISION)

    def judge(self, does: bool) -> None:
        """Take note of whether the rate does."""
        if does:
            self.good = self.rate
        else:
            self.bad = self.rate
        if self.bad is None:
            self.rate *= _FACTOR
        elif self.good:
            self.rate = (self.good + self.bad) / 2
        else:
            self.rate /= _FACTOR
