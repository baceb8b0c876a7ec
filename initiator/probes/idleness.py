"""For how long sessions are left idle, and what their answers tell of the path's memory; pure."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

# The shortest time tried, in seconds and as a part of the longest one; by how much each is longer than the one before,
# and how many there are at most: so near to each other are the bounds.
_SHORTEST: Final = 1.0
_SHORTEST_PART: Final = 0.05
_RATIO: Final = 1.03
_MOST: Final = 300

# The times after which TCP keepalive is tried: tcp(7) takes whole seconds.
_KEEPALIVE: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A session idle for so many seconds until something was said on it, or until it ended: "" when it was answered.

    One that was answered was idle for so long at least, any other at most: so they are bounds, however late this host
    was. `unasked` says that it ended before anything was said.
    """

    idle: float
    failure: str
    unasked: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """Between which bounds (seconds) the path forgets an idle session, and what it does then, by reason.

    `remembered` is 0 when no group was, `forgotten` None when none was. `unasked` are sessions that were ended while
    they were idle; `later` are groups that were remembered though others, idle for less, were forgotten.
    """

    remembered: float
    forgotten: float | None
    answers: dict[str, int]
    unasked: dict[str, int]
    later: int


def idle_times(longest: float) -> list[float]:
    """Return the times, in seconds, that groups of sessions are left idle, ascending up to the longest."""
    shortest = min(_SHORTEST, longest * _SHORTEST_PART)
    steps = min(_MOST, math.ceil(math.log(longest / shortest) / math.log(_RATIO)))
    return [longest * (shortest / longest) ** (1 - step / steps) for step in range(steps)] + [longest]


def keepalive_times(longest: float) -> list[int]:
    """Return the times, in seconds, after which keepalive is tried: those shorter than the longest time tried."""
    return [seconds for seconds in _KEEPALIVE if seconds < longest]


def is_forgotten(group: Sequence[Spoken]) -> bool:
    """Return whether the path has forgotten a group: a single session may have been lost otherwise."""
    return bool(group) and all(spoken.failure for spoken in group)


def memory(groups: Iterable[Sequence[Spoken]]) -> Memory:
    """Return what the groups that were spoken on tell."""
    spoken_on = [group for group in groups if group]
    forgotten = [group for group in spoken_on if is_forgotten(group)]
    upper = min((spoken.idle for group in forgotten for spoken in group), default=None)
    whole = [min(spoken.idle for spoken in group) for group in spoken_on if not any(one.failure for one in group)]
    lower = max((idle for idle in whole if upper is None or idle < upper), default=0.0)
    ended = [spoken for group in forgotten for spoken in group]
    return Memory(
        remembered=lower,
        forgotten=upper,
        answers=dict(Counter(spoken.failure for spoken in ended if not spoken.unasked)),
        unasked=dict(Counter(spoken.failure for spoken in ended if spoken.unasked)),
        later=sum(1 for idle in whole if upper is not None and idle > upper),
    )
