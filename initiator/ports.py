"""The local ports of sessions, taken in turn, so that no connect has to search for one."""

import errno
from socket import AF_INET, IPPROTO_IP, SOCK_STREAM, SocketType
from typing import Any, Final

from common.system import local_port_range

# A port range of the socket's own: the lower bound in the low half, the upper one in the high half (ip(7), Linux 6.3;
# IPPROTO_IP is right for IPv6 too). Bounds outside the system's range have no effect but that every port is looked at,
# going on from the one taken last; a plain connect looks for a port of one parity first, so past half of the range each
# one scans all that are taken: 19,000 sessions to one address took 16 s of kernel time.
_IP_LOCAL_PORT_RANGE: Final = 51
_WHOLE_RANGE: Final = 1

# Ports tried before the choice is left to the kernel.
_TRIES: Final = 4
_TAKEN: Final = errno.EADDRNOTAVAIL


class LocalPorts:
    """A turn through the system's range of local ports, begun at `place` in it, from 0 up to 1.

    Where the kernel cannot be told the port of a socket, it chooses.
    """

    def __init__(self, place: float) -> None:
        self._can_choose = _can_choose()
        self._low = self._high = 0
        self.read_range()
        self._port = self._low + int(place * (self._high - self._low))

    def read_range(self) -> None:
        """Take note of the system's range; where it is unknown the kernel chooses."""
        self._low, self._high = (local_port_range() if self._can_choose else None) or (0, 0)

    def connect(self, sock: SocketType, sockaddr: Any) -> tuple[int, int]:
        """Send the SYN; return the number of the error, and the local port, or 0 where the kernel chose it."""
        if self._low:
            for _ in range(_TRIES):
                port = self._port = self._port + 1
                if port > self._high:
                    port = self._begin_anew()
                bounds = port << 16 | port
                # An option's value is signed, and the upper bound takes the sign's bit.
                sock.setsockopt(IPPROTO_IP, _IP_LOCAL_PORT_RANGE, bounds - (bounds >> 31 << 32))
                error = sock.connect_ex(sockaddr)
                if error != _TAKEN:
                    return error, port
        if self._can_choose:
            sock.setsockopt(IPPROTO_IP, _IP_LOCAL_PORT_RANGE, _WHOLE_RANGE)
        return sock.connect_ex(sockaddr), 0

    def _begin_anew(self) -> int:
        """Return the first port of the range, which is read anew at the end of each turn."""
        self.read_range()
        self._port = self._low
        return self._port


def _can_choose() -> bool:
    sock = SocketType(AF_INET, SOCK_STREAM)
    try:
        sock.setsockopt(IPPROTO_IP, _IP_LOCAL_PORT_RANGE, _WHOLE_RANGE)
    except OSError:
        return False
    finally:
        sock.close()
    return True
