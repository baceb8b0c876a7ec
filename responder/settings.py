"""What a responder process is: fixed at its start."""

from dataclasses import dataclass
from typing import Final

from common.keepalive import Keepalive
from common.table import DEFAULT_HASHSIZE

# The kernel cuts it to net.core.somaxconn (listen(2)): 4096 is that limit's default since Linux 5.4.
BACKLOG: Final = 4096


@dataclass(frozen=True, slots=True)
class Settings:
    """`hashsize` is what the one table of all clients starts with, `backlog` is each listener's queue."""

    hashsize: int = DEFAULT_HASHSIZE
    backlog: int = BACKLOG
    keepalive: Keepalive | None = None
