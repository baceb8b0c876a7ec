"""What an initiator process is: fixed at its start."""

from dataclasses import dataclass
from typing import Final

CONNECT_TIMEOUT: Final = 5.0
PING_TIMEOUT: Final = 10.0
PING_INTERVAL: Final = (30.0, 60.0)

# Buckets a target's table starts with. One table a target, and it grows by itself: a large start would only cost
# memory for each of the thousands of targets that a range of ports makes.
HASHSIZE: Final = 100


@dataclass(frozen=True, slots=True)
class Keepalive:
    """TCP keepalive: seconds of idleness before the first probe, seconds between probes, probes before the end."""

    idle: int
    interval: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds; `seed` makes every draw (ping times, jitter of pauses) repeatable."""

    seed: int
    connect_timeout: float = CONNECT_TIMEOUT
    connect_rate: float | None = None
    ping: bool = False
    ping_timeout: float = PING_TIMEOUT
    source_ips: tuple[str, ...] = ()
    interface: str | None = None
    keepalive: Keepalive | None = None
