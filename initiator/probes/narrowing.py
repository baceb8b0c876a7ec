"""Which rate is tried next, from what became of those before; pure.

A limiting box has an allowance for bursts (a bucket of tokens), which a rate above the limit can live on for a while.
So the rate that it takes is measured where it is overloaded, from the first failure on, and rates near that one are
tried right after it was overloaded again, with the allowance used up.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

# The rate tried first, what it is raised by, and the seconds of each of these tries.
START: Final = 100.0
_FACTOR: Final = 2.0
_RAMP: Final = 0.5

# What a rate that was too high is multiplied by to overload the path, and the most seconds of that.
_OVERLOAD: Final = 1.5
_LONGEST: Final = 10.0

# How much longer than it took to use up the allowance it is used up before each try, so that it surely is.
_DRAIN_TIMES: Final = 1.2
_DRAIN: Final = 0.1

# A try begins with a tenth of its time at nine tenths of its rate: the path may gain a hundredth of what is tried, so
# that two that are sent a bit too near to each other do not fail.
_SETTLING_RATE: Final = 0.9
_SETTLING_TIME: Final = 0.1

# Where the tries begin and go on, as parts of the rate that was measured and of the last one, and how near to each
# other the highest good and the lowest bad one are at last.
_BELOW: Final = 0.97
_UP: Final = 1.06
_DOWN: Final = (0.94, 0.85, 0.7, 0.5)
PRECISION: Final = 0.07

# Below this rate the search is given up, and after so many tries.
_LOWEST: Final = 0.5
_MOST_TRIES: Final = 20

# The part of what was asked for that must have been sent, or this host is what is too slow.
_SENT: Final = 0.95


class Phase(Enum):
    """Raise the rate until it is too high; measure what is taken then; try rates near that."""

    RAMP = "ramp"
    OVERLOAD = "overload"
    TRY = "try"


@dataclass(frozen=True, slots=True)
class Trial:
    """Rates (1/s) with the seconds of each; the last is judged. `steady` ends it so long after the first failure."""

    phase: Phase
    segments: tuple[tuple[float, float], ...]
    steady: float | None = None

    @property
    def rate(self) -> float:
        """The rate that is judged."""
        return self.segments[-1][0]

    @property
    def seconds(self) -> float:
        """How long it takes at most."""
        return sum(seconds for _, seconds in self.segments)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of what was judged: how many failed, and the rate at which they were really sent.

    `behind` says that this host could not send as fast; `first_failure` is in seconds from the beginning, `taken` is
    the rate of those that succeeded from then on.
    """

    failed: int
    sent_rate: float
    behind: bool
    first_failure: float | None
    taken: float


class Narrowing:
    """The search: `trial` is what to try next, None at the end; `good` and `bad` are the bounds found so far."""

    def __init__(self, seconds: float) -> None:
        self.good = 0.0
        self.bad: float | None = None
        self.taken: float | None = None
        self.host_bound = False
        self._seconds = seconds
        self._rate = START
        self._drain: tuple[tuple[float, float], ...] = ()
        self._failed_before = False
        self._tries = 0
        self._downs = 0
        self.trial: Trial | None = Trial(Phase.RAMP, ((START, _RAMP),))

    def judge(self, outcome: Outcome) -> None:
        """Take note of what became of the trial."""
        assert self.trial
        judge = {Phase.RAMP: self._judge_ramp, Phase.OVERLOAD: self._judge_overload, Phase.TRY: self._judge_try}
        self.trial = judge[self.trial.phase](self.trial, outcome)

    def _judge_ramp(self, trial: Trial, outcome: Outcome) -> Trial | None:
        if outcome.failed and not self._failed_before:
            self._failed_before = True
            return trial
        if outcome.failed:
            window = max(1.0, self._seconds / 2)
            return Trial(Phase.OVERLOAD, ((trial.rate * _OVERLOAD, _LONGEST),), window)
        self._failed_before = False
        if outcome.behind:
            return self._try(outcome.sent_rate)
        return Trial(Phase.RAMP, ((trial.rate * _FACTOR, _RAMP),))

    def _judge_overload(self, trial: Trial, outcome: Outcome) -> Trial | None:
        if outcome.first_failure is None:
            self._failed_before = False
            return Trial(Phase.RAMP, ((trial.rate * _FACTOR, _RAMP),))
        self.taken = outcome.taken
        self._drain = ((trial.rate, outcome.first_failure * _DRAIN_TIMES + _DRAIN),)
        return self._try(outcome.taken * _BELOW)

    def _judge_try(self, trial: Trial, outcome: Outcome) -> Trial | None:
        self._tries += 1
        if outcome.failed:
            self.bad = trial.rate
        else:
            self.good = outcome.sent_rate
            if outcome.behind:
                self.host_bound = True
                return None
        if self.bad is None:
            return self._try(trial.rate * _UP)
        if self.good:
            if self.bad - self.good <= self.bad * PRECISION:
                return None
            return self._try((self.good + self.bad) / 2)
        self._downs += 1
        return self._try(trial.rate * _DOWN[min(self._downs, len(_DOWN)) - 1])

    def _try(self, rate: float) -> Trial | None:
        if rate < _LOWEST or self._tries >= _MOST_TRIES:
            return None
        settling = rate * _SETTLING_RATE, self._seconds * _SETTLING_TIME
        return Trial(Phase.TRY, (*self._drain, settling, (rate, self._seconds)))


def outcome_of(
    sent: Sequence[float], succeeded: Sequence[bool], judged_from: float, until: float, asked: float
) -> Outcome:
    """Return what became of sessions begun at these times (seconds from the beginning, ascending).

    Those from `judged_from` on are judged, of which `asked` a second were asked for until `until`.
    """
    start = bisect_left(sent, judged_from)
    failed = [at for at, success in zip(sent[start:], succeeded[start:], strict=True) if not success]
    seconds = until - judged_from
    sent_rate = (len(sent) - start) / seconds if seconds > 0 else 0.0
    first = failed[0] if failed else None
    taken = 0.0
    if first is not None and until > first:
        begin = bisect_left(sent, first)
        taken = sum(succeeded[begin:]) / (until - first)
    return Outcome(len(failed), sent_rate, sent_rate < asked * _SENT, first, taken)
