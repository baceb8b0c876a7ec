"""When things are due: an absolute schedule that never drifts, and draws that a seed repeats; pure."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, islice, repeat
from math import floor, log1p
from operator import neg, sub
from random import Random
from typing import Final, TypeVar

from initiator.workloads.schedule import Schedule

POISSON: Final = "poisson"
CONSTANT: Final = "constant"

T = TypeVar("T")

# Arrivals drawn at once: a fifth of a millisecond.
_CHUNK: Final = 1024


class Arrivals:
    """Due times (monotonic seconds), in order, of a schedule that began at `start`.

    Events are placed on an axis on which one is due per unit: evenly (the k-th, from 0 on, at k + 0.5, so that a step
    of 4 s at 20 a second has 80) or as a Poisson process of rate 1; the schedule's inverse turns places into times.
    Another `phase` than 0.5 is for one of several that share a schedule.
    """

    def __init__(self, schedule: Schedule, kind: str, seed: int, start: float, phase: float = 0.5) -> None:
        self._random = Random(f"{seed}/arrivals").random
        self._even = kind == CONSTANT
        self._phase = phase
        self._times: list[float] = []
        self._at = 0
        self._begin(schedule, start)

    @property
    def next_due(self) -> float:
        """When the next one is due, infinite behind the end."""
        return self._times[self._at]

    def take(self, now: float, most: int) -> list[float]:
        """Return when those that are due by `now` were due, and that have not been taken; at most so many."""
        if self._times[self._at] > now:
            return []
        taken: list[float] = []
        while self._times[self._at] <= now and len(taken) < most:
            end = bisect_right(self._times, now, self._at, min(len(self._times), self._at + most - len(taken)))
            taken += self._times[self._at : end]
            self._at = end
            if end == len(self._times):
                self._draw()
        return taken

    def restart(self, schedule: Schedule, now: float) -> int:
        """Follow another schedule that begins now; return how many were due and not taken, which are forgotten."""
        left = self.left(now)
        self._begin(schedule, now)
        return left

    def left(self, now: float) -> int:
        """Return how many are due by now and have not been taken; those not drawn yet are as many as expected."""
        drawn = bisect_right(self._times, now, self._at) - self._at
        if self._at + drawn < len(self._times):
            return drawn
        further = max(0, floor(self._schedule.expected(now - self._start) - self._place) + 1)
        # One that is due at this very moment may have been rounded away.
        further += self._start + self._schedule.inverse(self._place + further) <= now
        return drawn + further

    def _begin(self, schedule: Schedule, start: float) -> None:
        self._schedule = schedule
        self._start = start
        self._place = self._phase if self._even else self._places(1, 0.0)[1]
        self._draw()

    def _places(self, count: int, first: float) -> list[float]:
        """Return one more place than `count`, in order: what is between neighbours is 1, or drawn exponentially."""
        if self._even:
            return list(accumulate(repeat(1.0, count), initial=first))
        # Each is the former - log(1 - random()); in a comprehension that takes a third more.
        logarithms = map(log1p, map(neg, islice(iter(self._random, None), count)))
        return list(accumulate(logarithms, sub, initial=first))

    def _draw(self) -> None:
        """Draw the next chunk of due times."""
        places = self._places(_CHUNK, self._place)
        self._place = places.pop()
        self._at = 0
        begin, before, rate = self._schedule.constant_until(places[-1])
        if rate and places[0] >= before:
            start = self._start + begin
            self._times = [start + (place - before) / rate for place in places]
        else:
            inverse, start = self._schedule.inverse, self._start
            self._times = [start + inverse(place) for place in places]


class Choice:
    """Draws of which each item is as likely as the other."""

    def __init__(self, seed: int) -> None:
        self._random = Random(f"{seed}/choice").random

    def take(self, items: Sequence[T], count: int) -> list[T]:
        """Return as many items as asked for, each drawn from all."""
        random, size = self._random, len(items)
        return [items[int(random() * size)] for _ in range(count)]
