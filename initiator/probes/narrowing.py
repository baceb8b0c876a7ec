"""Which rate is tried next, from what became of those before; pure.

A limiting box has an allowance for bursts (a bucket of tokens), which a rate above the limit can live on for a while.
So the rate that it takes is measured where it is overloaded, from the first failure on, and rates near that one are
tried right after it was overloaded again, with the allowance used up.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
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

# The part of what is judged in a try that the path may have had left of its allowance when that began, and how much
# longer the allowance is used up before the same try is made again.
_SPARE: Final = 0.03
_LONGER: Final = 1.5

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

# Below this rate the search is given up, and after so many tries, or trials of all kinds: a path that fails now and
# then, at any rate, would keep it going.
_LOWEST: Final = 0.5
_MOST_TRIES: Final = 12
_MOST_TRIALS: Final = 60

# How many times a trial is repeated that failed once, or an overload in which this host was late; and a try in which it
# was late, or sent more than was wanted: a busy host needs some until it is even for once.
_REPEATS: Final = 2
_TRY_REPEATS: Final = 4

# What of a rate must really have been sent to say something of that rate, how much more may be asked for to have it
# sent, and the part below which this host is simply too slow.
_SENT: Final = 0.97
_BOOST: Final = 1.3
_FASTEST: Final = 0.6

# So many times the mean interval is a gap, unless the box takes no more than one meanwhile, or than a part of its
# allowance: what it is not asked for is lost when that is full again.
_GAP: Final = 3.0
_GAP_PART: Final = 0.5

# The part of the time from the first failure on in which the path is to be overloaded, in all such trials together, and
# the part without which they tell nothing.
_OVERLOADED: Final = 0.8
_HARDLY: Final = 0.3


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

    @property
    def judged_from(self) -> float:
        """The seconds from the beginning until the last one begins."""
        return self.seconds - self.segments[-1][1]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of what was judged: how many failed, and the rate at which they were really sent.

    `uneven` says that this host was late at times, and sent some together or not at all; `first_failure` is in seconds
    from the beginning. `taken` succeeded in the seconds in which the path was `overloaded`. Before what was judged,
    `since` the last failure so many seconds had gone, None for no failure, and so many had `passed` meanwhile.
    """

    failed: int
    sent_rate: float
    uneven: bool
    first_failure: float | None
    taken: int
    overloaded: float
    since: float | None = None
    passed: int = 0


class Narrowing:
    """The search: `trial` is what to try next, None at the end; `good` and `bad` are the bounds found so far.

    `host_bound` says that this host could not send as fast, or as evenly, as would have had to be tried. `taken` is the
    rate that got through when more was sent, `burst` the most that got through beyond that before any failed.
    """

    def __init__(self, seconds: float) -> None:
        self.good = 0.0
        self.bad: float | None = None
        self.taken: float | None = None
        self.burst: float | None = None
        self.host_bound = False
        self._seconds = seconds
        self._wanted = 0.0
        self._failed_at = math.inf
        self._boost = 1.0
        self._drain: tuple[tuple[float, float], ...] = ()
        self._tries = 0
        self._repeats = 0
        self._downs = 0
        self._allowance = 0.0
        self._until_failed: list[tuple[float, float]] = []
        self._taken = 0
        self._overloaded = 0.0
        self._trials = 0
        self.trial: Trial | None = _ramp(START)

    def judge(self, outcome: Outcome) -> None:
        """Take note of what became of the trial."""
        assert self.trial
        self._trials += 1
        if self.trial.phase is Phase.RAMP:
            self.trial = self._judge_ramp(self.trial, outcome)
        elif self.trial.phase is Phase.OVERLOAD:
            self.trial = self._judge_overload(self.trial, outcome)
        else:
            self.trial = self._judge_try(outcome)
        if self._trials == _MOST_TRIALS:
            self.trial = None

    def _judge_ramp(self, trial: Trial, outcome: Outcome) -> Trial | None:
        self._note(outcome)
        if outcome.failed and self._repeat():
            return trial
        if outcome.failed:
            self._repeats = 0
            self._fail(min(trial.rate, outcome.sent_rate))
            return self._overload(trial.rate)
        if outcome.sent_rate < trial.rate * _FASTEST:
            if self._repeat():
                return trial
            self.host_bound = True
            return self._try(outcome.sent_rate)
        self._repeats = 0
        return _ramp(trial.rate * _FACTOR)

    def _judge_overload(self, trial: Trial, outcome: Outcome) -> Trial | None:
        if outcome.first_failure is None:
            self._repeats = 0
            return _ramp(trial.rate * _FACTOR)
        self._note(outcome)
        self._taken += outcome.taken
        self._overloaded += outcome.overloaded
        self.taken = self._taken / self._overloaded if self._overloaded else 0.0
        self.burst = max(0.0, *((rate - self.taken) * seconds for rate, seconds in self._until_failed))
        self._allowance = max(outcome.first_failure, self._allowance)
        assert trial.steady
        if self._overloaded < trial.steady * _OVERLOADED and self._repeat(_TRY_REPEATS):
            return trial
        self._repeats = 0
        if self._overloaded < trial.steady * _HARDLY:
            self.host_bound = True
            return None
        self._drain = ((trial.rate, self._allowance * _DRAIN_TIMES + _DRAIN),)
        return self._try(self.taken * _BELOW)

    def _note(self, outcome: Outcome) -> None:
        """Take note of how fast sessions were sent, and for how long none failed."""
        if outcome.first_failure is not None:
            self._until_failed.append((outcome.sent_rate, outcome.first_failure))

    def _judge_try(self, outcome: Outcome) -> Trial | None:
        wanted = self._wanted
        if not outcome.failed and self._has_spare(outcome):
            if self._repeat(_TRY_REPEATS):
                self._drain = tuple((rate, seconds * _LONGER) for rate, seconds in self._drain)
                return self._again(wanted)
            if outcome.since is not None:
                self.host_bound = True
                return None
            self._drain = ()  # the path does not limit any more: there is nothing to use up
        if outcome.failed:
            # The pace of it, whatever this host left out: what follows a pause is at that pace, too.
            self._failed_at = min(wanted * self._boost, self._failed_at)
        else:
            self._succeed(min(outcome.sent_rate, wanted * self._boost))
        if self.host_bound:
            self.host_bound = not outcome.failed
            return self._overload(wanted) if outcome.failed else None
        reached = outcome.sent_rate >= wanted * _SENT
        late = outcome.uneven or self._boost > 1
        if late and (outcome.failed or not reached) and self._repeat(_TRY_REPEATS):
            if outcome.failed:
                self._boost = 1.0
            else:
                self._boost = min(_BOOST, self._boost * wanted / outcome.sent_rate) if outcome.sent_rate else _BOOST
            return self._again(wanted)
        # A host that cannot send just that rate tells by a higher one that failed, if it was ever sent.
        failed = math.inf if reached and not outcome.failed else self._failed_at
        self._repeats, self._failed_at = 0, math.inf
        if failed < math.inf:
            self._boost = 1.0
            self._fail(failed)
        elif not reached:
            self.host_bound = True
            return None
        self._tries += 1
        return self._narrow(wanted)

    def _has_spare(self, outcome: Outcome) -> bool:
        """Return whether the path had something left of its allowance, for this host was late in using it up."""
        if not self._drain:
            return False
        if outcome.since is None:
            return True
        assert self.taken is not None
        spare = outcome.since * self.taken - outcome.passed
        settling = (self.taken - self._wanted * _SETTLING_RATE) * self._seconds * _SETTLING_TIME
        return spare > max(0.0, settling) + max(2.0, self._wanted * self._seconds * _SPARE)

    def _narrow(self, wanted: float) -> Trial | None:
        """Return the next one after `wanted` did, or did not."""
        higher = max(wanted, self.good) * _UP
        if self.bad is None:
            return self._try(higher)
        if not self.good:
            self._downs += 1
            return self._try(wanted * _DOWN[min(self._downs, len(_DOWN)) - 1])
        if self.bad - self.good <= self.bad * PRECISION:
            return None
        return self._try(min(higher, (self.good + self.bad) / 2))

    def _succeed(self, rate: float) -> None:
        """Take note of a rate that did well."""
        self.good = max(self.good, rate)
        if self.bad is not None and self.good >= self.bad:
            self.bad = None  # it failed for another reason then

    def _fail(self, rate: float) -> None:
        """Take note of a rate that failed."""
        if rate > self.good:
            self.bad = rate if self.bad is None else min(rate, self.bad)

    def _try(self, wanted: float) -> Trial | None:
        if wanted < _LOWEST or self._tries >= _MOST_TRIES:
            return None
        return self._again(wanted)

    def _again(self, wanted: float) -> Trial:
        """Return a trial in which so many a second are sent on average, as far as is known."""
        self._wanted = wanted
        rate = wanted * self._boost
        return Trial(
            Phase.TRY, (*self._drain, (rate * _SETTLING_RATE, self._seconds * _SETTLING_TIME), (rate, self._seconds))
        )

    def _overload(self, rate: float) -> Trial:
        """Return a trial that measures what is taken where more than `rate`, which was too much, is sent."""
        return Trial(Phase.OVERLOAD, ((rate * _OVERLOAD, _LONGEST),), max(1.0, self._seconds / 2))

    def _repeat(self, most: int = _REPEATS) -> bool:
        """Return whether to make the same trial once more, for it tells too little."""
        self._repeats += 1
        return self._repeats <= most


def _ramp(rate: float) -> Trial:
    return Trial(Phase.RAMP, ((rate, _RAMP),))


def outcome_of(
    sent: Sequence[float], succeeded: Sequence[bool], judged_from: float, until: float, uneven: bool
) -> Outcome:
    """Return what became of sessions begun at these times (seconds from the beginning, ascending).

    Those from `judged_from` on are judged, until `until`.
    """
    start = bisect_left(sent, judged_from)
    last = next((place for place in range(start - 1, -1, -1) if not succeeded[place]), None)
    since = None if last is None else judged_from - sent[last]
    passed = 0 if last is None else start - 1 - last
    judged = list(zip(sent[start:], succeeded[start:], strict=True))
    failed = [at for at, success in judged if not success]
    seconds = until - judged_from
    sent_rate = len(judged) / seconds if seconds > 0 else 0.0
    if not failed:
        return Outcome(0, sent_rate, uneven, None, 0, 0.0, since, passed)
    taken, overloaded = _overload_of(judged, math.inf)
    if taken:
        each = overloaded / taken
        allowance = sum(success for at, success in judged if at < failed[0]) - (failed[0] - judged_from) / each
        taken, overloaded = _overload_of(judged, max(_GAP / sent_rate, each, allowance * _GAP_PART * each))
    return Outcome(len(failed), sent_rate, uneven, failed[0], taken, overloaded, since, passed)


def _overload_of(judged: Iterable[tuple[float, bool]], gap: float) -> tuple[int, float]:
    """Return how many succeeded while the path was overloaded, and the seconds of that.

    It is from one failure to another, at both of which its allowance is used up, or to the end; but not over a gap that
    this host leaves, in which the allowance grows again.
    """
    taken, seconds = 0, 0.0
    last, since, passed = -math.inf, None, 0
    for at, success in judged:
        if at - last > gap:
            since = None
        last = at
        if success:
            passed += 1
            continue
        if since is not None:
            taken += passed
            seconds += at - since
        since, passed = at, 0
    return (taken, seconds) if since is None else (taken + passed, seconds + last - since)
