"""TCP keepalive: the kernel's own probes of sessions that are idle."""

from dataclasses import dataclass
from typing import Final

from common.errors import UsageError
from common.units import parse_duration, parse_positive

# The most that the kernel takes: MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL and MAX_TCP_KEEPCNT in net/tcp.h.
_LONGEST: Final = 32767
_MOST: Final = 127


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Seconds of idleness before the first probe, seconds between probes, probes before the end: tcp(7)."""

    idle: int
    interval: int | None = None
    count: int | None = None


def parse_keepalive(text: str) -> Keepalive:
    """Return what `IDLE[,INTERVAL,COUNT]` says, times in whole seconds; raises UsageError."""
    parts = text.split(",")
    if len(parts) not in (1, 3):
        raise UsageError(f'"{text}" is not IDLE or IDLE,INTERVAL,COUNT; write one like 60s or 60s,10s,5')
    times = [parse_duration(part) for part in parts[:2]]
    if any(not 1 <= seconds <= _LONGEST or seconds != int(seconds) for seconds in times):
        raise UsageError(f'"{text}": keepalive takes whole seconds, from 1 to {_LONGEST}')
    if len(parts) == 1:
        return Keepalive(int(times[0]))
    count = parse_positive(parts[2])
    if count > _MOST:
        raise UsageError(f'"{text}": keepalive takes at most {_MOST} probes')
    return Keepalive(int(times[0]), int(times[1]), count)
