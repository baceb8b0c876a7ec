"""The search for the rate at which short sessions saturate what answers them: by steps, then narrowed down; pure."""

from dataclasses import dataclass
from typing import Final

from common.units import format_milliseconds
from initiator.churn_figures import ChurnRow, Verdict

START: Final = 50.0
FACTOR: Final = 1.25
SLOWDOWN: Final = 2.0

# The share of failed transactions that is too much, and of the rate asked for that is too little.
_FAILING: Final = 0.01
_ACHIEVED: Final = 0.97

# How near the lowest bad rate is to the highest good one at last; what a rate is divided by while none is good; below
# which rate that is given up, and with fewer than how many transactions.
_PRECISION: Final = 0.05
_DOWN: Final = 4.0
_LOWEST: Final = 1.0
_FEWEST: Final = 10

# A hiccup of the machine is no saturation: what is bad is tried so many times before it is believed.
_TRIES: Final = 2

# The generator itself is taken for the limit when it had a core for itself, or began so late (seconds).
_BUSY: Final = 0.95
_LATE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Search:
    """Where it begins (1/s), by what factor it rises, and how many times the best median is too slow."""

    start: float = START
    factor: float = FACTOR
    slowdown: float = SLOWDOWN


class Saturation:
    """The rate to try next, from what became of those before."""

    def __init__(self, search: Search) -> None:
        self.rate: float | None = search.start
        self._search = search
        self._good = 0.0
        self._bad: float | None = None
        self._reason = ""
        self._best: float | None = None
        self._tries = 0

    def judge(self, row: ChurnRow) -> None:
        """Take note of what became of the rate; one that is too much is tried once more before it is believed."""
        assert self.rate is not None
        fault = self.fault(row)
        self._tries += 1
        if fault and self._tries < _TRIES:
            return
        self._tries = 0
        if fault:
            self._bad, self._reason = self.rate, "; ".join(filter(None, (fault, own_limit(row))))
        else:
            self._good = self.rate
            median = row.whole.corrected.p50
            self._best = median if self._best is None else min(self._best, median)
        self.rate = self._next(row.seconds)

    def fault(self, row: ChurnRow) -> str:
        """Return what is too much about a rate, in words; nothing for one that does."""
        failed = sum(row.failed.values())
        if failed > row.due * _FAILING:
            return f"{failed / row.due:.1%} failed"
        if row.achieved < row.asked * _ACHIEVED:
            return f"{row.achieved / row.asked:.1%} of it was achieved"
        median = row.whole.corrected.p50
        if self._best and median > self._best * self._search.slowdown:
            return f"the median is {median / self._best:.1f} times the best"
        return ""

    def verdict(self) -> Verdict:
        """Return the bounds known by now."""
        return Verdict(self._good, self._bad, self._reason)

    def _next(self, seconds: float) -> float | None:
        """Return the rate to try for so many seconds, None when the bounds are close or hardly one would be due."""
        good, bad = self._good, self._bad
        if bad is None:
            return good * self._search.factor
        if not good:
            return bad / _DOWN if bad / _DOWN >= max(_LOWEST, _FEWEST / seconds) else None
        return None if bad - good <= bad * _PRECISION else (good + bad) / 2


def own_limit(row: ChurnRow) -> str:
    """Return, in words, that this process or its host was the limit; nothing where neither was."""
    if row.busy < _BUSY and row.late_p99 < _LATE:
        return ""
    late = format_milliseconds(row.late_p99)
    return f"the initiator's own host was the limit: p99 begun late by {late}, {row.busy:.0%} of a core used"
