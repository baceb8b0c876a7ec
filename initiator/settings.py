"""What an initiator process is: fixed at its start."""

from dataclasses import dataclass
from typing import Final

from common.errors import UsageError
from common.keepalive import Keepalive
from common.limits import USER_BYTES

CONNECT_TIMEOUT: Final = 5.0
PING_TIMEOUT: Final = 10.0
PING_INTERVAL: Final = (30.0, 60.0)

# Buckets that a target's table starts with unless --hashsize says otherwise, and how many those of one range of ports
# have together: 8 MB, where ten thousand for each of 65,535 targets would be 5 GB.
HASHSIZE: Final = 10_000
HASHSIZE_TOGETHER: Final = 1_000_000

# Measured: 1,100 idle sessions with TLS 1.3 took 32 to 35 kB each outside the kernel, 0.3 kB without TLS; the rest is
# what queries have them keep.
_TLS_BYTES: Final = 36_000


@dataclass(frozen=True, slots=True)
class Tls:
    """How sessions speak TLS.

    `ca` is a file with the authorities that are trusted instead of the system's, `name` the one that is sent and
    verified instead of the host of the target as it was written.
    """

    ca: str | None = None
    name: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds; `seed` makes every draw (ping times, jitter of pauses) repeatable.

    The kernel's own values hold for `rcvbuf` and `sndbuf` (bytes) and `dscp` that are None.
    `place` is where in the system's range of local ports, from 0 up to 1, the first one is taken; drawn for None.
    """

    seed: int
    connect_timeout: float = CONNECT_TIMEOUT
    connect_rate: float | None = None
    ping: bool = False
    ping_timeout: float = PING_TIMEOUT
    source_ips: tuple[str, ...] = ()
    interface: str | None = None
    keepalive: Keepalive | None = None
    nagle: bool = False
    rcvbuf: int | None = None
    sndbuf: int | None = None
    dscp: int | None = None
    place: float | None = None
    tls: Tls | None = None

    @property
    def user_bytes(self) -> int:
        """How much of the process's own memory a session takes, idle or with small messages."""
        return _TLS_BYTES if self.tls else USER_BYTES


def check_plain(settings: Settings) -> None:
    """Raise UsageError where sessions are to speak TLS: those of churn and of the probes cannot."""
    if settings.tls:
        raise UsageError(
            "the sessions of churn, bench and find speak no TLS; start an initiator without --tls for them"
        )
