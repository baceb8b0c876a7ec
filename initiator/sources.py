"""The addresses that sessions are opened from, in turn."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from itertools import cycle
from socket import AF_INET, AF_INET6, IPPROTO_IP, SO_BINDTODEVICE, SOCK_STREAM, SOL_SOCKET, SocketType
from typing import Final

from common.errors import SessionerError
from common.sockets import Option

# Not in the socket module of Python 3.11: linux/in.h. The port is then chosen at connect, for the whole four-tuple,
# so that one source address gives a port range to each target instead of one to all of them: ip(7).
_IP_BIND_ADDRESS_NO_PORT: Final = 24


class Sources:
    """Source addresses by family; a family without any is left to the kernel's choice."""

    def __init__(self, ips: Sequence[str]) -> None:
        self._turns: dict[int, Iterator[str]] = {}
        for family, version in ((AF_INET, 4), (AF_INET6, 6)):
            own = [ip for ip in ips if ip_address(ip).version == version]
            if own:
                self._turns[family] = cycle(own)

    def bind(self, sock: SocketType, family: int) -> int:
        """Bind a socket to the next address, if there is one; return 0, or the number of the error in the way."""
        turns = self._turns.get(family)
        if not turns:
            return 0
        try:
            sock.setsockopt(IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((next(turns), 0))
        except OSError as failure:
            # No port is taken here, so none can be lacking: it is the address that this host has no more.
            return errno.ENETUNREACH if failure.errno == errno.EADDRNOTAVAIL else failure.errno or errno.EIO
        return 0


def bind_to_device(name: str) -> Option:
    """Return the socket option that lets sessions use one interface alone: socket(7), SO_BINDTODEVICE."""
    return SOL_SOCKET, SO_BINDTODEVICE, name.encode() + b"\0"


def own_sources(ips: Sequence[str]) -> tuple[str, ...]:
    """Return those addresses that this host has."""
    own = []
    for ip in ips:
        with suppress(SessionerError):
            check_sources((ip,), None)
            own.append(ip)
    return tuple(own)


def check_sources(ips: Sequence[str], interface: str | None) -> None:
    """Raise SessionerError for the first address that this host does not have, and for such an interface."""
    for ip in ips:
        sock = SocketType(AF_INET6 if ":" in ip else AF_INET, SOCK_STREAM)
        try:
            sock.bind((ip, 0))
        except OSError as failure:
            raise SessionerError(f"source address {ip} cannot be used: {failure.strerror}") from None
        finally:
            sock.close()
    if interface:
        sock = SocketType(AF_INET, SOCK_STREAM)
        try:
            sock.setsockopt(*bind_to_device(interface))
        except OSError as failure:
            raise SessionerError(f"interface {interface} cannot be used: {failure.strerror}") from None
        finally:
            sock.close()
