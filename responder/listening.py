"""Listening sockets, with all that the sockets accepted on them inherit."""

from errno import EMFILE
from socket import (
    AF_INET6,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SO_OOBINLINE,
    SO_REUSEADDR,
    SO_REUSEPORT,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    SocketType,
)
from typing import Final

from common.addresses import Address
from common.errors import SessionerError
from common.resolver import SocketAddress
from common.socket_options import nagle_option, socket_options
from responder.settings import Settings

# What listen(2) takes; the kernel cuts it to net.core.somaxconn anyway.
_HIGHEST_BACKLOG: Final = 2**31 - 1

_STREAM: Final = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC


def listen_on(item: SocketAddress, settings: Settings, *, shared: bool = False) -> SocketType:
    """Return a listening socket, one of several on its address if it is `shared`; raises SessionerError."""
    sock = _bind(item, settings, shared=shared)
    try:
        sock.listen(min(settings.backlog, _HIGHEST_BACKLOG))
    except OSError as failure:
        sock.close()
        raise refused(item.address, failure) from None
    return sock


def listen_together(item: SocketAddress, settings: Settings, count: int) -> list[SocketType]:
    """Return so many sockets that listen on one address, among which the kernel shares out the clients (SO_REUSEPORT).

    Raises SessionerError.
    """
    # Another daemon's sockets on the address would be joined; a bind that does not share it tells that there are some.
    probe = _bind(item, settings, shared=False)
    host, _, *rest = item.sockaddr
    chosen = item._replace(sockaddr=(host, probe.getsockname()[1], *rest))
    probe.close()
    sockets: list[SocketType] = []
    try:
        for _ in range(count):
            sock = _bind(chosen, settings, shared=True)
            sockets.append(sock)
            sock.listen(min(settings.backlog, _HIGHEST_BACKLOG))
    except (OSError, SessionerError) as failure:
        for sock in sockets:
            sock.close()
        raise failure if isinstance(failure, SessionerError) else refused(item.address, failure) from None
    return sockets


def refused(address: Address, failure: OSError) -> SessionerError:
    """Return what is said of an address that cannot be listened on."""
    remedy = "; raise ulimit -n" if failure.errno == EMFILE else ""
    return SessionerError(f"cannot listen on {address}: {failure.strerror}{remedy}")


def _bind(item: SocketAddress, settings: Settings, *, shared: bool) -> SocketType:
    try:
        sock = SocketType(item.family, _STREAM)
    except OSError as failure:
        raise refused(item.address, failure) from None
    try:
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        # What a client sends as urgent is what it sends, and comes in its place: socket(7).
        sock.setsockopt(SOL_SOCKET, SO_OOBINLINE, 1)
        if shared:
            sock.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        for option in (*socket_options(settings, item.family), nagle_option(settings)):
            sock.setsockopt(*option)
        if item.family == AF_INET6:
            # Only [::] listens for both families; any other IPv6 address leaves its port to IPv4.
            sock.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, item.address.host != "::")
        sock.bind(item.sockaddr)
    except OSError as failure:
        sock.close()
        raise refused(item.address, failure) from None
    return sock
