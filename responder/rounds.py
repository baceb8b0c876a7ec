"""When whose turn is, where many are to be served equally often: rounds of slots, each with its turn."""

from typing import Final

# Seconds that a turn lasts, more or less: a tenth of what a person notices, ten times what the loop's timers resolve.
TURN: Final = 0.005

# Slots of a round at most: for those that are served once in a while, turns get longer.
_MOST_SLOTS: Final = 1000


class Rounds:
    """Turns on an absolute schedule; times are arguments, monotonic seconds.

    Each of those in a slot is given `each` messages when it is the turn of `slot`. A turn whose time is over before it
    could begin is missed: it is told, and not made up for.
    """

    __slots__ = ("_begun", "_turn", "each", "seconds", "slots")

    def __init__(self, rate: float, most: int) -> None:
        """Make rounds in which everybody gets `rate` messages a second, at most `most` of them at once."""
        self.each = max(1, min(most, round(rate * TURN)))
        self.slots = max(1, min(_MOST_SLOTS, round(self.each / (rate * TURN))))
        self.seconds = self.each / (rate * self.slots)
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """Let the first turn be now."""
        self._begun = now
        self._turn = 0

    @property
    def slot(self) -> int:
        """Whose turn it is."""
        return self._turn % self.slots

    def go_on(self, now: float) -> list[tuple[int, int]]:
        """Go on to the next turn whose time is not over; return each slot that missed turns, and how many."""
        first = self._turn + 1
        self._turn = max(first, int((now - self._begun) / self.seconds))
        whole, rest = divmod(self._turn - first, self.slots)
        slots = range(self.slots if whole else rest)
        return [((first + offset) % self.slots, whole + (offset < rest)) for offset in slots]

    def wait(self, now: float) -> float:
        """Return the seconds until the turn begins."""
        return max(0.0, self._begun + self._turn * self.seconds - now)
