"""When the sessions are to send, each equally often: turns on an absolute schedule; pure."""

from collections.abc import Iterator
from math import ceil, inf
from typing import Final, NamedTuple

# Seconds between two turns: little enough to be even, long enough for what is due together to be sent together.
TURN: Final = 0.002
_MOST_SLOTS: Final = 10_000

# What is later than this is not sent any more, but counted as missed: after a stall there is no burst.
TOLERANCE: Final = 0.1

# What of a turn may lie before a time by rounding alone.
_ROUNDING: Final = 0.001


class Due(NamedTuple):
    """What the sessions of a slot are to send: so many messages each, the first of which was due at `since`.

    `missed` came too late for each of them.
    """

    slot: int
    messages: int
    missed: int
    since: float


class Turns:
    """Slots whose sessions send at the same times, monotonic seconds; a session's messages are `period` apart."""

    def __init__(self, rate: float, now: float) -> None:
        """Begin now, with `rate` messages a second for each session."""
        self.period = 1 / rate
        self.slots = max(1, min(_MOST_SLOTS, int(self.period / TURN)))
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
            slot = turn % self.slots
            whole = _congruent(first, end, slot, self.slots)
            count = _congruent(sent_from, end, slot, self.slots)
            oldest = sent_from + (slot - sent_from) % self.slots
            yield Due(slot, count, whole - count, self._begun + oldest * self._turn)


def _congruent(first: int, end: int, slot: int, slots: int) -> int:
    """Return how many numbers from `first` to before `end` leave the rest `slot`."""
    return (end - 1 - slot) // slots - (first - 1 - slot) // slots
