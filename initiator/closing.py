"""The pace of closing: past what the kernel keeps of closed sessions they are reset, or skip TIME_WAIT."""

from typing import Final

from common.system import closing_limits, closing_sessions

# Sessions closed between two looks, each of which takes a tenth of a millisecond; seconds between those of a pause.
AT_ONCE: Final = 128
LOOK: Final = 0.25

# The part of the kernel's tables that is filled at full speed, and the part that is filled while none of that is in
# TIME_WAIT no more; the rest is for other processes.
_FAST: Final = 0.9
_SLOW: Final = 0.05

# Seconds that a session is in TIME_WAIT: TCP_TIMEWAIT_LEN in include/net/tcp.h.
_TIME_WAIT: Final = 60.0

# What is taken for a limit that cannot be read, as that of the orphans in a network namespace.
_UNKNOWN: Final = 16384


def closing_pause(processes: int) -> float:
    """Return for how many seconds nothing is to be closed after AT_ONCE sessions, by each of so many processes.

    That is none at all while the kernel has room.
    """
    now = closing_sessions()
    orphans, time_wait = (limit or _UNKNOWN for limit in closing_limits())
    # What has no owner any more will be in TIME_WAIT.
    if now.orphans <= _FAST * orphans and now.orphans + now.time_wait <= _FAST * time_wait:
        return 0.0
    return AT_ONCE * processes * _TIME_WAIT / (_SLOW * time_wait)
