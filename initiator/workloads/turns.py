"""When the sessions are to send, each equally often: turns on an absolute schedule; pure."""

from collections.abc import Iterator
from itertools import pairwise
from math import ceil, inf
from typing import Final, NamedTuple

# Seconds between two turns at least: little enough to be even, long enough for what is due together to go out together.
TURN: Final = 0.002

# The numbers of slots that there may be, each behind the stride from one to the next in turn: Fibonacci numbers. With
# the one before as the stride, nearest to the golden section, the first slots lie evenly over a period however many
# they are (a Fibonacci lattice; H. Niederreiter, Random Number Generation and Quasi-Monte Carlo Methods, 1992).
_FIBONACCI: Final = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765, 10946)
_STRIDES: Final = tuple(pairwise(_FIBONACCI))

# What is later than this is not sent any more, but counted as missed: after a stall there is no burst.
TOLERANCE: Final = 0.1

# What of a turn may lie before a time by rounding alone.
_ROUNDING: Final = 0.001


# Seconds that a turn at a bandwidth stands for at least, its bytes where that is less than a segment's, and at most.
_PIECE_SECONDS: Final = 0.01
_SEGMENT: Final = 1460
LARGEST_PIECE: Final = 1 << 20


class Due(NamedTuple):
    """What the sessions of a slot are to send: so many messages each, the first of which was due at `since`.

    `missed` came too late for each of them.
    """

    slot: int
    messages: int
    missed: int
    since: float


class Turns:
    """Slots whose sessions send at the same times, monotonic seconds; a session's messages are `period` apart.

    Each slot has one turn in a period. Where the session at place n is in slot n % `slots`, the number of sessions that
    are due in any turns in a row of a period is within 4 of their share, however many sessions there are.
    """

    def __init__(self, rate: float, now: float) -> None:
        """Begin now, with `rate` messages a second for each session."""
        self.period = 1 / rate
        most = max(1, self.period / TURN)
        self._stride, self.slots = max(pair for pair in _STRIDES if pair[1] <= most)
        self._turn = self.period / self.slots
        self._begun = now
        self._next = 0
        self._tolerated = max(1, int(TOLERANCE / self._turn))

    @property
    def next_due(self) -> float:
        """When there will be something to send: several turns that are close together are taken as one."""
        return self._begun + self._next * self._turn + (TURN if self._turn < TURN / 2 else 0.0)

    def skip(self, until: float) -> None:
        """Leave out what was due before: there was nobody to send it."""
        self._next = max(self._next, ceil((until - self._begun) / self._turn - _ROUNDING))

    def take(self, now: float, ends: float = inf) -> Iterator[Due]:
        """Yield what is due by now, before `ends`, and has not been taken: a slot at a time, at most so many as are."""
        first, passed = self._next, int((now - self._begun) / self._turn) + 1
        end = passed
        if ends <= now:
            end = min(passed, ceil((ends - self._begun) / self._turn - _ROUNDING))
        if end <= first:
            return
        self._next = end
        sent_from = min(end, max(first, passed - self._tolerated))
        for turn in range(max(first, end - self.slots), end):
            place = turn % self.slots
            whole = _congruent(first, end, place, self.slots)
            count = _congruent(sent_from, end, place, self.slots)
            oldest = sent_from + (place - sent_from) % self.slots
            slot = place * self._stride % self.slots
            yield Due(slot, count, whole - count, self._begun + oldest * self._turn)


def turns_at(bandwidth: float, now: float) -> tuple[int, Turns]:
    """Return how many bytes of each session one turn is at a bandwidth (bytes a second), and the turns."""
    piece = max(1, int(min(max(min(_SEGMENT, bandwidth), bandwidth * _PIECE_SECONDS), LARGEST_PIECE)))
    return piece, Turns(bandwidth / piece, now)


def _congruent(first: int, end: int, rest: int, slots: int) -> int:
    """Return how many numbers from `first` to before `end` leave this rest."""
    return (end - 1 - rest) // slots - (first - 1 - rest) // slots
