"""What a number of sessions asked for means for each of those that hold them."""


def share_out(total: int, count: int) -> list[int]:
    """Return `count` shares of a total, differing by at most one."""
    share, rest = divmod(total, count)
    return [share + 1] * rest + [share] * (count - rest)
