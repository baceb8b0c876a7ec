"""How fast a counter grows, over the last second."""

from collections import deque
from typing import Final

_SPAN: Final = 1.0


class Rate:
    """Samples of a counter that only grows."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def sample(self, now: float, total: int) -> None:
        """Take note of the counter at `now` (monotonic seconds)."""
        self._samples.append((now, total))
        while self._samples[0][0] < now - _SPAN:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """The growth per second between the samples of the last second."""
        if len(self._samples) < 2:
            return 0.0
        (began, was), (ended, became) = self._samples[0], self._samples[-1]
        return (became - was) / (ended - began)
