"""How many sessions are tried next, on which targets, and by whom, until the path takes no more; pure."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate
from typing import Final, Generic, TypeVar

from common.workers.division import fill

T = TypeVar("T", bound=Hashable)

# Sessions tried at first, twice as many each time, and at most: past that a batch takes about as long as its echoes.
FIRST: Final = 16
_MOST: Final = 4096

# Sessions tried when some have been refused, and the seconds over which they are spread from then on: a box that limits
# the rate refuses what comes at once, and takes it when it comes slowly.
_FEW: Final = 16
_SPREAD: Final = 0.5

# A target is full when so many have been tried in a row and none was taken: one alone may have met with a loss.
_IN_VAIN: Final = 4


class Growth(Generic[T]):
    """The size of the next batch and its targets, from what became of those before.

    A target that takes none of several is tried no more. `rate` is how many a second are tried, None for at once.
    """

    def __init__(self, targets: Sequence[T], rate: float | None = None) -> None:
        self.targets = list(targets)
        self.refused = False
        self._in_vain: Counter[T] = Counter()
        self._asked_rate = rate
        self._size = max(FIRST, len(self.targets))

    @property
    def done(self) -> bool:
        """Whether no target takes any more."""
        return not self.targets

    @property
    def size(self) -> int:
        """How many to try next: each target that is left has one at least."""
        most = _MOST if self._asked_rate is None else max(1, int(self._asked_rate))
        least = len(self.targets) * (_IN_VAIN if self.refused else 1)
        return max(min(self._size, most), least)

    @property
    def rate(self) -> float | None:
        """How many a second."""
        if not self.refused:
            return self._asked_rate
        return min(self.size / _SPREAD, self._asked_rate or self.size / _SPREAD)

    def judge(self, tried: Mapping[T, int], taken: Mapping[T, int], grown: bool) -> None:
        """Take note of how many sessions to each target were tried, and how many were taken.

        `grown` is whether there are more now than before: where each one taken costs an older one there are not.
        """
        if not grown:
            self.targets.clear()
            return
        for target, count in tried.items():
            self._in_vain[target] = 0 if taken.get(target, 0) else self._in_vain[target] + count
        self.targets = [target for target in self.targets if self._in_vain[target] < _IN_VAIN]
        if sum(taken.values()) == sum(tried.values()):
            self._size *= 2
        elif not self.refused:
            self.refused = True
            self._size = _FEW
        else:
            self._size = max(_FEW, self._size // 2)


def spread_over(count: int, loads: Sequence[int], full: AbstractSet[int]) -> list[int]:
    """Return how many of so many each part is to open: the least loaded first, those whose numbers are `full` none."""
    others = [number for number in range(len(loads)) if number not in full]
    given = dict(zip(others, fill([loads[number] for number in others], count), strict=True))
    return [given.get(number, 0) for number in range(len(loads))]


def turns_of(targets: Sequence[T], shares: Sequence[int]) -> list[list[T]]:
    """Return the targets that each part opens its share to in turn: it goes on where the one before it ends."""
    ends = zip(shares, accumulate(shares), strict=True)
    firsts = [(end - share, min(share, len(targets))) for share, end in ends]
    return [[targets[place % len(targets)] for place in range(first, first + count)] for first, count in firsts]
