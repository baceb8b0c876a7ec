"""The pace of closing: past what the kernel keeps of closed sessions they are reset, or skip TIME_WAIT.

/proc/net/sockstat counts a session from close(2) on: among the orphans until its FIN is acknowledged, then in
TIME_WAIT, even while the peer's FIN is missing. TIME_WAIT is counted for this network namespace, and orphans for the
whole host, so those of other namespaces make us slower, never faster.

It does not count what any process closes after our look, nor what is half-closed and has its descriptor still. All
processes see the same room, and each would take all of it. So each has an equal part of _UNSEEN for what of its own
was not in what it saw last. That keeps to _FULL whoever is the last to find room: what there was when that one looked
is at most _FULL - _UNSEEN, and what was not seen is at most _UNSEEN.

More sessions than that can be closed, for TIME_WAIT may end early. Where the peer's FIN overtakes its acknowledgement
of ours, the latter is answered by an ACK. A peer that is done with the session answers that by a RST, which frees the
place (RFC 1337, unless net.ipv4.tcp_rfc1337 is set).
"""

from typing import Final

from common.system import closing_limits, closing_sessions

# Seconds between two looks, each of which takes a tenth of a millisecond, while nothing may be closed.
LOOK: Final = 0.1

# Parts of the kernel's tables: what is filled at full speed, what of that our processes may fill unseen, and what is
# filled past that within the time of one TIME_WAIT; the rest is for others.
_FULL: Final = 0.9
_UNSEEN: Final = 0.05
_SLOW: Final = 0.05

# Seconds that a session is in TIME_WAIT: TCP_TIMEWAIT_LEN in include/net/tcp.h.
_TIME_WAIT: Final = 60.0

# What is taken for a limit that cannot be read, as that of the orphans in a network namespace.
_UNKNOWN: Final = 16384


def closable(processes: int, half_closed: int, waited: float) -> int:
    """Return how many sessions each of so many processes may close before it looks again, 0 for none yet.

    This one has `half_closed` sessions whose descriptors are still open, and has `waited` for so many seconds.
    """
    now = closing_sessions()
    orphans, time_wait = (limit or _UNKNOWN for limit in closing_limits())
    seen = _FULL - _UNSEEN
    # What has no owner any more will be in TIME_WAIT.
    if now.orphans <= seen * orphans and now.orphans + now.time_wait <= seen * time_wait:
        unseen = int(_UNSEEN * min(orphans, time_wait) / processes)
        return max(0, max(1, unseen) - half_closed)
    return int(_SLOW * time_wait * waited / _TIME_WAIT / processes)
