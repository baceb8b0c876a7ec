"""What a number of sessions asked for means for each target."""

from typing import NamedTuple


class Plan(NamedTuple):
    """What a change of share means: how many sessions to open and how many to close."""

    open: int
    close: int


def plan(share: int, held: int, attempts: int) -> Plan:
    """Return how a target with so many sessions held, and attempts under way, gets to its share."""
    missing = share - held - attempts
    return Plan(max(missing, 0), max(-missing, 0))


def share_out(total: int, count: int) -> list[int]:
    """Return the shares of `count` targets in `total` sessions, differing by at most one."""
    share, rest = divmod(total, count)
    return [share + 1] * rest + [share] * (count - rest)
