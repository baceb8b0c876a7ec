"""The pauses of a target that fails, and how many attempts at once it is trusted with."""

from typing import Final

# Seconds. The first pause is short enough for a responder that restarts; the longest keeps a dead target cheap
# and still restores its share within half a minute of its return.
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 30.0

# Failures count as following each other unless attempts have succeeded, and sessions have lasted, for so long: one
# that ends sooner counts as a failed attempt.
SETTLED: Final = 1.0

# Attempts under way at once: the window opens by one with each success, so it doubles with each round trip, from a
# number that no listen queue minds to one that fills a path of 200 ms with 20,000 sessions/s.
FIRST_WINDOW: Final = 64
WIDEST_WINDOW: Final = 4096


class Retry:
    """How one target is tried: times are arguments, monotonic seconds."""

    __slots__ = ("_failed_at", "_good_since", "_pause", "window")

    def __init__(self) -> None:
        self.window = FIRST_WINDOW
        self._failed_at = 0.0
        self._good_since: float | None = None
        self._pause = 0.0

    def succeeded(self, now: float, count: int) -> None:
        """Take note that so many attempts succeeded."""
        self.window = min(self.window + count, WIDEST_WINDOW)
        if self._good_since is None:
            self._good_since = now

    def failed(self, began: float, now: float, jitter: float) -> float:
        """Return how long to pause after an attempt that began at `began` failed, or its session was soon lost.

        The pause doubles with each failure that follows another, and `jitter` (0 to 1) shortens it by up to a half.
        It is 0.0 for an attempt that began before the last failure: its like was paused for already.
        """
        if began < self._failed_at:
            return 0.0
        if self._good_since is not None and now - self._good_since > SETTLED:
            self._pause = 0.0
        self._good_since = None
        self._failed_at = now
        self.window = 1
        self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
        return self._pause * (1 - jitter / 2)
