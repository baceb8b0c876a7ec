"""A bare loop of short sessions: the system calls of churn and nothing else, so the most that an interpreter can do.

    python -m tests.benchmarks.bare_churn UNDER_WAY SIZE SECONDS PORT...

It prints how many it completed a second. The kernel's refusals are left out, and a session is taken for answered when
epoll has reported it.
"""

import gc
import select
import sys
from collections.abc import Iterator
from itertools import cycle
from socket import AF_INET, IPPROTO_IP, MSG_MORE, MSG_NOSIGNAL, SHUT_WR, SOCK_NONBLOCK, SOCK_STREAM, SocketType
from time import monotonic
from typing import Final

from common.system import local_port_range

_IP_LOCAL_PORT_RANGE: Final = 51
_EVENTS: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
_FLAGS: Final = MSG_MORE | MSG_NOSIGNAL


def completed(under_way: int, size: int, seconds: float, ports: list[int]) -> int:
    """Return how many sessions were completed in that time, so many at once."""
    gc.disable()
    epoll = select.epoll()
    register, poll = epoll.register, epoll.poll
    buffer, request = bytearray(1 << 16), b"x" * size
    remotes, bounds = cycle([("127.0.0.1", port) for port in ports]), _bounds()
    open_now: dict[int, tuple[SocketType, float]] = {}
    took: list[float] = []
    end = monotonic() + seconds
    while monotonic() < end:
        while len(open_now) < under_way:
            begun = monotonic()
            sock = SocketType(AF_INET, SOCK_STREAM | SOCK_NONBLOCK)
            sock.setsockopt(IPPROTO_IP, _IP_LOCAL_PORT_RANGE, next(bounds))
            sock.connect_ex(next(remotes))
            try:
                sock.send(request, _FLAGS)
                sock.shutdown(SHUT_WR)
            except OSError:
                sock.close()
                continue
            descriptor = sock.fileno()
            open_now[descriptor] = sock, begun
            register(descriptor, _EVENTS)
        for descriptor, _ in poll(1, 16):
            sock, begun = open_now.pop(descriptor)
            sock.recv_into(buffer)
            sock.close()
            took.append(monotonic() - begun)
    return len(took)


def _bounds() -> Iterator[int]:
    """Yield one local port after the other, as ip(7) wants it for both bounds of a range."""
    found = local_port_range()
    assert found
    low, high = found
    for port in cycle(range(low + int(monotonic() * 1000) % (high - low), high)):
        both = port << 16 | port
        yield both - (both >> 31 << 32)


if __name__ == "__main__":
    most, size, seconds, *ports = map(int, sys.argv[1:])
    print(completed(most, size, seconds, ports) / seconds)
