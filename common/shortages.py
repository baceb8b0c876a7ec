"""What has run out for now: descriptors, ports, memory or watches. A state to live with, said once with its remedy."""

import errno
import logging
from typing import Final

from common import reasons
from common.system import descriptor_limits

log = logging.getLogger("sessioner")

DESCRIPTORS: Final = "descriptors"
PORTS: Final = "ports"
MEMORY: Final = "memory"
WATCHES: Final = "epoll watches"

_REMEDIES: Final = {
    DESCRIPTORS: "raise the limit of open files (ulimit -n, LimitNOFILE= of a unit), `limits` shows what is needed",
    PORTS: "give more --target ports or --source-ip addresses, or widen net.ipv4.ip_local_port_range (see `limits`)",
    MEMORY: "the kernel refuses more sockets or buffers, see `limits` and net.ipv4.tcp_mem",
    WATCHES: "raise fs.epoll.max_user_watches, `limits` shows what is needed",
}


# Descriptors kept free for all that is no session: prompt, log, resolver, listeners added while running.
_RESERVE: Final = 64


def highest_descriptor() -> int:
    """Return the highest descriptor that a session may have, under the process's limit now."""
    limit = descriptor_limits()[0]
    return limit - min(_RESERVE, limit // 4)


def kind_of(error: int | None) -> str | None:
    """Return what an error number of the operating system says has run out on this host, None for nothing.

    ENOSPC is what epoll_ctl(2) says where a user has as many watches as the kernel grants.
    """
    if error == errno.ENOSPC:
        return WATCHES
    if error == errno.EADDRNOTAVAIL:
        return PORTS
    if error in reasons.NO_DESCRIPTORS:
        return DESCRIPTORS
    return MEMORY if error in reasons.NO_MEMORY else None


class Shortages:
    """The kinds that have run out now."""

    def __init__(self, consequence: str) -> None:
        self.kinds: set[str] = set()
        self._consequence = consequence

    def begin(self, kind: str) -> None:
        """Take note that this kind has run out; the first time it is said, with the remedy."""
        if kind not in self.kinds:
            self.kinds.add(kind)
            log.warning("Out of %s: %s; %s", kind, self._consequence, _REMEDIES[kind])

    def end(self, kind: str) -> None:
        """Take note that there is room again."""
        if kind in self.kinds:
            self.kinds.discard(kind)
            log.warning("There %s %s again", "is" if kind == MEMORY else "are", kind)

    def end_all(self) -> None:
        """Take note that there is room for everything again."""
        for kind in sorted(self.kinds):
            self.end(kind)
