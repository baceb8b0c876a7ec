"""Where transactions go to, in turn."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

from common.system import local_port_range
from initiator.dialer import Remote

# Transactions after which the turn of the targets begins anew where the range of ports is unknown.
_PORTS: Final = 28_232


class Goal:
    """Where transactions go to; `host` is our side's part of the key, 0 until the kernel has chosen it."""

    __slots__ = ("family", "host", "key", "sockaddr")

    def __init__(self, remote: Remote) -> None:
        self.key = remote.key
        self.family = remote.family
        self.sockaddr = remote.sockaddr
        self.host = 0


def each_in_turn(goals: Sequence[Goal], sources: int, seed: int) -> Iterator[Goal]:
    """Yield a goal for each transaction, without end, where our side has so many source addresses of its own, or 0."""
    return in_turn(goals, _period(sources), Random(f"{seed}/targets").random)


def in_turn(goals: Sequence[Goal], period: int, draw: Callable[[], float]) -> Iterator[Goal]:
    """Yield goals in turn without end, each `period` from a goal on that is drawn (from [0, 1)).

    What comes round with that period, a source address or a local port, so does not keep to one goal.
    """
    while True:
        first = int(draw() * len(goals))
        for place in range(first, first + period):
            yield goals[place % len(goals)]


def _period(sources: int) -> int:
    """Return after how many transactions what is taken in turn on our side comes round."""
    if sources > 1:
        return sources
    low, high = local_port_range() or (1, _PORTS)
    return high - low + 1
