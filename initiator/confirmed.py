"""How many of the held sessions have been confirmed by an answer: ever, and in the last minute."""

from typing import Final

WINDOW: Final = 60


class Confirmed:
    """Counts by the second of each held session's latest answer; every operation is O(1) or O(WINDOW).

    Times are monotonic seconds; 0.0 stands for a session that has had no answer.
    """

    __slots__ = ("_by_second", "ever")

    def __init__(self) -> None:
        self._by_second: dict[int, int] = {}
        self.ever = 0

    def answered(self, before: float, now: float) -> None:
        """Take note of an answer on a session whose latest one came at `before`."""
        self.lost(before)
        self.ever += 1
        second = int(now)
        counts = self._by_second
        if second in counts:
            counts[second] += 1
        else:
            for old in [old for old in counts if old < second - WINDOW]:
                del counts[old]
            counts[second] = 1

    def lost(self, before: float) -> None:
        """Take out a session whose latest answer came at `before`."""
        if before:
            self.ever -= 1
            second = int(before)
            if second in self._by_second:
                self._by_second[second] -= 1

    def last_minute(self, now: float) -> int:
        """Return how many of the sessions have had an answer in the last WINDOW seconds."""
        return sum(count for second, count in self._by_second.items() if second > now - WINDOW)
