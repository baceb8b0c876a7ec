"""What a number of sessions asked for means for each target."""


def share_out(total: int, count: int) -> list[int]:
    """Return the shares of `count` targets in `total` sessions, differing by at most one."""
    share, rest = divmod(total, count)
    return [share + 1] * rest + [share] * (count - rest)
