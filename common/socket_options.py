"""The options of a socket that the command line sets, before connect(2), or before listen(2) for those accepted."""

import re
from collections.abc import Iterator
from socket import (
    AF_INET6,
    IP_TOS,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_TCLASS,
    SO_RCVBUF,
    SO_SNDBUF,
    SOL_SOCKET,
    TCP_NODELAY,
    SocketType,
)
from typing import Final, Protocol

from common.errors import UsageError
from common.keepalive import Keepalive
from common.sockets import Option, keepalive_options
from common.units import parse_count

_SIZE: Final = re.compile(r"(\d{1,10})([km]?)", re.IGNORECASE | re.ASCII)
_MULTIPLIERS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20}

# The kernel doubles what it is asked for, and keeps that as an int: sock_setsockopt in net/core/sock.c.
_LARGEST: Final = 1 << 30

# Differentiated services have six bits, above the two of congestion notification: RFC 2474, RFC 3168.
_HIGHEST_DSCP: Final = 63
_DSCP_SHIFT: Final = 2


class SocketSettings(Protocol):
    """What the sockets of a daemon are: the kernel's own values hold for what is None; buffers in bytes."""

    @property
    def keepalive(self) -> Keepalive | None:
        """When the kernel probes an idle session."""

    @property
    def nagle(self) -> bool:
        """Whether small pieces wait for each other."""

    @property
    def rcvbuf(self) -> int | None:
        """The size of the receive buffer."""

    @property
    def sndbuf(self) -> int | None:
        """The size of the send buffer."""

    @property
    def dscp(self) -> int | None:
        """The code point of what is sent."""


def parse_size(text: str) -> int:
    """Return bytes from a size written like `65536`, `64k` or `4m`, in multiples of 1,024; raises UsageError."""
    match = _SIZE.fullmatch(text)
    value = int(match[1]) * _MULTIPLIERS[match[2].lower()] if match else 0
    if not 1 <= value <= _LARGEST:
        raise UsageError(f'"{text}" is not a size from 1 to {_LARGEST >> 20}m; write one like 65536, 64k or 4m')
    return value


def parse_dscp(text: str) -> int:
    """Return a code point of differentiated services; raises UsageError."""
    value = parse_count(text)
    if value > _HIGHEST_DSCP:
        raise UsageError(f'"{text}" is too large; a DSCP goes from 0 to {_HIGHEST_DSCP}')
    return value


def socket_options(settings: SocketSettings, family: int) -> Iterator[Option]:
    """Yield the socket options that the settings ask for but that of Nagle; accepted sockets inherit them."""
    if settings.keepalive:
        yield from keepalive_options(settings.keepalive)
    if settings.rcvbuf is not None:
        yield SOL_SOCKET, SO_RCVBUF, settings.rcvbuf
    if settings.sndbuf is not None:
        yield SOL_SOCKET, SO_SNDBUF, settings.sndbuf
    if settings.dscp is not None:
        # A listening socket of IPv6 may have clients of IPv4 too, and those go by the option of IPv4.
        yield IPPROTO_IP, IP_TOS, settings.dscp << _DSCP_SHIFT
        if family == AF_INET6:
            yield IPPROTO_IPV6, IPV6_TCLASS, settings.dscp << _DSCP_SHIFT


def nagle_option(settings: SocketSettings) -> Option:
    """Return what lets small pieces go out without waiting for the acknowledgement of those before, or not: tcp(7)."""
    return IPPROTO_TCP, TCP_NODELAY, int(not settings.nagle)


def cut_buffers(sock: SocketType, settings: SocketSettings) -> Iterator[str]:
    """Yield a line for each buffer that the kernel has made smaller than it was asked for: socket(7)."""
    for name, asked, option, limit in (
        ("rcvbuf", settings.rcvbuf, SO_RCVBUF, "net.core.rmem_max"),
        ("sndbuf", settings.sndbuf, SO_SNDBUF, "net.core.wmem_max"),
    ):
        granted = sock.getsockopt(SOL_SOCKET, option) // 2
        if asked is not None and granted < asked:
            yield f"--{name} {asked} is more than {limit} allows: it is {granted}"
