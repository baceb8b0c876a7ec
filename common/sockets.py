"""What only a socket can do, done to a bare descriptor."""

from collections.abc import Iterator
from contextlib import contextmanager
from socket import (
    AF_INET,
    IPPROTO_TCP,
    SHUT_WR,
    SO_ERROR,
    SO_KEEPALIVE,
    SO_LINGER,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_INFO,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_USER_TIMEOUT,
    SocketType,
)
from struct import Struct, pack
from typing import Final

from common.addresses import Address, plain_host
from common.keepalive import Keepalive

_NO_LINGER: Final = pack("ii", 1, 0)


# The most that a socket option of type int takes.
_HIGHEST_INT: Final = 2**31 - 1

# tcpi_total_retrans, tcpi_segs_out and tcpi_segs_in in struct tcp_info: linux/tcp.h.
_SEGMENTS: Final = Struct("=100xI32xII")

Option = tuple[int, int, int | bytes]


def keepalive_options(keepalive: Keepalive) -> Iterator[Option]:
    """Yield the socket options that bring keepalive about; a listening socket hands them on to those it accepts."""
    yield SOL_SOCKET, SO_KEEPALIVE, 1
    yield IPPROTO_TCP, TCP_KEEPIDLE, keepalive.idle
    if keepalive.interval:
        yield IPPROTO_TCP, TCP_KEEPINTVL, keepalive.interval
    if keepalive.count:
        yield IPPROTO_TCP, TCP_KEEPCNT, keepalive.count


@contextmanager
def _socket_over(descriptor: int, family: int = AF_INET) -> Iterator[SocketType]:
    """Give a socket over a descriptor that stays open; the family matters only for addresses."""
    sock = SocketType(family, SOCK_STREAM, 0, descriptor)
    try:
        yield sock
    finally:
        sock.detach()


def error_of(descriptor: int) -> int:
    """Return the number of the pending error, 0 for none: socket(7), SO_ERROR."""
    with _socket_over(descriptor) as sock:
        return sock.getsockopt(SOL_SOCKET, SO_ERROR)


def reset_at_close(descriptor: int) -> None:
    """Let the next close of the descriptor send a RST instead of a FIN: socket(7), SO_LINGER."""
    with _socket_over(descriptor) as sock:
        sock.setsockopt(SOL_SOCKET, SO_LINGER, _NO_LINGER)


def set_user_timeout(descriptor: int, seconds: float) -> None:
    """Let the kernel end the session when what was sent is not acknowledged for so long: tcp(7), TCP_USER_TIMEOUT."""
    with _socket_over(descriptor) as sock:
        sock.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, min(max(1, round(seconds * 1000)), _HIGHEST_INT))


def set_option(descriptor: int, option: Option) -> None:
    """Set an option; raises OSError when the session is gone already."""
    with _socket_over(descriptor) as sock:
        sock.setsockopt(*option)


def half_close(descriptor: int) -> bool:
    """Send our FIN and keep the descriptor; return False when the session is gone already."""
    with _socket_over(descriptor) as sock:
        try:
            sock.shutdown(SHUT_WR)
        except OSError:
            return False
    return True


def local_address(descriptor: int, family: int) -> Address:
    """Return the address of our end; raises OSError when the session is gone already."""
    with _socket_over(descriptor, family) as sock:
        host, port = sock.getsockname()[:2]
    return Address(plain_host(host), port)


def segments(descriptor: int) -> tuple[int, int, int]:
    """Return how many segments a session sent, received and retransmitted: tcp(7), TCP_INFO; raises OSError."""
    with _socket_over(descriptor) as sock:
        info = sock.getsockopt(IPPROTO_TCP, TCP_INFO, _SEGMENTS.size)
    retransmitted, sent, received = _SEGMENTS.unpack(info)
    return sent, received, retransmitted
