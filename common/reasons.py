"""The reasons under which losses and failed attempts are counted."""

import errno
from collections.abc import Mapping
from typing import Final

FIN: Final = "fin"
RST: Final = "rst"
TIMEOUT: Final = "timeout"
REFUSED: Final = "refused"
UNREACHABLE: Final = "unreachable"
DENIED: Final = "denied"
EXHAUSTED: Final = "exhausted"
TLS: Final = "tls"
OTHER: Final = "other"

# Sessions whose worker has ended.
WORKER: Final = "worker"

_ALL: Final = (FIN, RST, TIMEOUT, REFUSED, UNREACHABLE, DENIED, EXHAUSTED, TLS, OTHER, WORKER)

# Descriptors or the kernel's memory have run out: accept(2), socket(2), connect(2); or what it grants for epoll_ctl(2).
NO_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})
NO_MEMORY: Final = frozenset({errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC})

_REASONS: Final = {
    errno.ECONNRESET: RST,
    errno.EPIPE: RST,
    errno.ECONNABORTED: RST,
    errno.ECONNREFUSED: REFUSED,
    errno.ETIMEDOUT: TIMEOUT,
    errno.EHOSTUNREACH: UNREACHABLE,
    errno.EHOSTDOWN: UNREACHABLE,
    errno.ENETUNREACH: UNREACHABLE,
    errno.ENETDOWN: UNREACHABLE,
    errno.ENONET: UNREACHABLE,
    errno.ENODEV: UNREACHABLE,
    errno.EACCES: DENIED,
    errno.EPERM: DENIED,
    errno.EADDRNOTAVAIL: EXHAUSTED,
    errno.EBADMSG: TLS,
    **dict.fromkeys(NO_DESCRIPTORS | NO_MEMORY, EXHAUSTED),
}


def reason_of(code: int | None) -> str:
    """Return the reason that an error number of the operating system is counted under."""
    return _REASONS.get(code or 0, OTHER)


def by_every_reason(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts under all reasons, also those that nothing was counted under."""
    return dict.fromkeys(_ALL, 0) | dict(counts)
