"""What a responder process is: fixed at its start."""

from dataclasses import dataclass
from typing import Final

from common.errors import UsageError
from common.keepalive import Keepalive
from common.limits import USER_BYTES
from common.table import DEFAULT_HASHSIZE

# The kernel cuts it to net.core.somaxconn (listen(2)): 4096 is that limit's default since Linux 5.4.
BACKLOG: Final = 4096

ECHO: Final = "echo"
MODES: Final = (ECHO, "sink", "active", "serve")

# Measured: 1,100 clients with TLS 1.3 took 16 to 20 kB each outside the kernel, idle or asked small queries.
_TLS_BYTES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Tls:
    """The files with the certificate that is shown, and those it was signed by, and with its key."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Settings:
    """`hashsize` is what the one table of all clients starts with, `backlog` is each listener's queue.

    `mode` is that of listeners that are added and no other is asked for, until another one is set for all.
    `message` is what mode active sends, `message_rate` times a second over each session or as fast as it goes, and
    `content` what mode serve answers. Without `nagle` an answer never waits for the acknowledgement of the one before.
    The kernel's own values hold for `rcvbuf` and `sndbuf` (bytes) and `dscp` that are None. `marker` says that markers
    are looked for from the start.
    """

    hashsize: int = DEFAULT_HASHSIZE
    backlog: int = BACKLOG
    keepalive: Keepalive | None = None
    message: bytes | None = None
    message_rate: float | None = None
    content: bytes | None = None
    nagle: bool = False
    rcvbuf: int | None = None
    sndbuf: int | None = None
    dscp: int | None = None
    marker: bool = False
    tls: Tls | None = None
    mode: str = ECHO

    @property
    def user_bytes(self) -> int:
        """How much of the process's own memory a client takes, idle or with small messages."""
        return _TLS_BYTES if self.tls else USER_BYTES


def check_mode(mode: str, settings: Settings) -> None:
    """Raise UsageError where the settings lack what a mode needs."""
    if mode == "active" and not settings.message:
        raise UsageError("mode active has nothing to send: start the responder with --message TEXT")
    if mode == "serve" and settings.content is None:
        raise UsageError("mode serve has nothing to answer: start the responder with --content FILE")
