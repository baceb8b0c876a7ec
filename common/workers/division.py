"""How what is asked of a daemon is divided among its workers; pure."""

from collections.abc import Iterator, Sequence
from operator import add
from random import Random
from typing import Final

# More processes than this are a slip of the hand: they would hold five million sessions under the usual limits.
MOST_WORKERS: Final = 256

# Shares that differ by less than this part are alike.
_ALIKE: Final = 0.05


def workers_needed(sessions: int, capacity: int, cores: int) -> int:
    """Return how many workers so many sessions need, `capacity` in each: one a core at least, MOST_WORKERS at most."""
    return max(cores, min(MOST_WORKERS, -(-sessions // max(1, capacity))))


def divide_up(total: int, count: int) -> int:
    """Return the least share that is enough when `count` have it, and never 0."""
    return max(1, -(-total // count))


def seed_of(seed: int, number: int) -> int:
    """Return the seed of one worker, which repeats what it draws when the whole is repeated."""
    return Random(f"{seed}/worker {number}").randrange(1 << 32)


def place_of(number: int, count: int) -> float:
    """Return where in a range, from 0 up to 1, a worker begins so that none is near another.

    Those that there are at the start, `count`, begin at equal distances; those that come later in the middle of the
    gaps, then in the middle of what is left (van der Corput's sequence).
    """
    turn, gap = divmod(number, count)
    offset, step = 0.0, 0.5
    while turn:
        offset += step * (turn & 1)
        turn >>= 1
        step /= 2
    return (gap + offset) / count


def weights_of(shares: Sequence[int]) -> list[float]:
    """Return which part of what goes over the sessions each worker does, by its share of them.

    Shares that are nearly the same are taken for the same, so that what is evenly spaced in each is so in all.
    """
    total, low, high = sum(shares), min(shares), max(shares)
    if not total or (low and high - low <= max(1, low * _ALIKE)):
        return [1 / len(shares)] * len(shares)
    return [share / total for share in shares]


def fill(loads: Sequence[int], more: int) -> list[int]:
    """Return what each is given of `more` so that the loads become as even as they can: the least get first."""
    order = sorted(range(len(loads)), key=loads.__getitem__)
    level, filled = 0, 0
    for count, index in enumerate(order):
        if loads[index] * count - filled >= more:
            break
        filled += loads[index]
        level = count + 1
    share, rest = divmod(filled + more, level) if level else (0, 0)
    given = [0] * len(loads)
    for place, index in enumerate(order[:level]):
        given[index] = share + (place < rest) - loads[index]
    return given


def portions(loads: Sequence[int], total: int) -> list[int]:
    """Return what is taken of each so that it is so many in all, or all that there are: in proportion to what it has.

    None gives more than that. The rounding goes on from one to the next, so that the sum is exact.
    """
    whole = sum(loads)
    total = min(total, whole)
    taken, before, so_far = [], 0, 0
    for load in loads:
        before += load
        upto = before * total // whole if whole else 0
        taken.append(upto - so_far)
        so_far = upto
    return taken


def respread(shares: list[list[int]], wanted: Sequence[int]) -> Iterator[None]:
    """Change the shares, a row for each target and in it a number for each worker, until each row's sum is as wanted.

    No more is moved than must be: a target's shares all grow or all shrink. What is added evens out the workers' loads,
    what is taken away is taken in proportion. Yields after each row, for it may take long.
    """
    loads = [0] * len(shares[0]) if shares else []
    for row, sum_wanted in zip(shares, wanted, strict=True):
        if sum_wanted < sum(row):
            row[:] = portions(row, sum_wanted)
        loads = list(map(add, loads, row))
        yield
    left = sum(wanted) - sum(loads)
    given = fill(loads, left)
    for row, sum_wanted in zip(shares, wanted, strict=True):
        more = sum_wanted - sum(row)
        if more:
            _grow(row, more, given, left)
            left -= more
        yield


def _grow(row: list[int], more: int, given: list[int], left: int) -> None:
    """Add what a row is to get in proportion to what each worker is still given, and take it from that.

    `left` is the sum of what is given. A part is never more than its worker has left.
    """
    parts = [more * own // left for own in given]
    rest = more - sum(parts)
    for index in sorted(range(len(row)), key=lambda index: parts[index] - given[index])[:rest]:
        parts[index] += 1
    for index, part in enumerate(parts):
        row[index] += part
        given[index] -= part
