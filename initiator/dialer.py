"""The sockets of sessions: made, prepared as the command line asks, and sent on their way from ports in turn."""

import errno
import os
import random
from socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SocketType
from typing import Any, Final, Protocol

from common.addresses import host_number
from common.shortages import highest_descriptor
from common.socket_options import socket_options
from common.sockets import Option
from initiator.ports import LocalPorts
from initiator.settings import Settings
from initiator.sources import Sources, bind_to_device

_STREAM: Final = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC


class Remote(Protocol):
    """Where a session goes: `key` is the number of the address, `sockaddr` what connect(2) takes."""

    key: int
    family: int
    sockaddr: Any


class Dialer:
    """Sockets towards remote addresses, with source addresses and local ports in turn."""

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._options = {int(family): _socket_options(settings, family) for family in (AF_INET, AF_INET6)}
        self._sources = Sources(settings.source_ips) if settings.source_ips else None
        place = settings.place
        self._ports = LocalPorts(rng.random() if place is None else place)
        self._highest = highest_descriptor()

    def open(self, family: int) -> SocketType:
        """Return a socket; raises OSError, EMFILE also while the descriptors kept for other things are left."""
        sock = SocketType(family, _STREAM)
        if sock.fileno() >= self._highest:
            sock.close()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return sock

    def connect(self, sock: SocketType, remote: Remote, host: int = 0) -> tuple[int, int]:
        """Send the SYN; return the number of the error (EINPROGRESS when all is well), and the local address's key.

        Without source addresses of ours, attempts begun together go out by the same route, so they share the `host`
        part of the key: only the first, for which it is 0, has to ask.
        """
        error = self._prepare(sock, remote.family)
        if error:
            return error, 0
        error, port = self._ports.connect(sock, remote.sockaddr)
        if error == errno.EINPROGRESS and (self._sources or not host or not port):
            actual = sock.getsockname()
            if port and port != actual[1]:
                self._ports.read_range()
            host, port = host_number(actual[0]) << 16, actual[1]
        if host | port == remote.key:
            # Where nobody listens, a port can be opened from that very port.
            error = errno.ECONNREFUSED
        return error, host | port

    def _prepare(self, sock: SocketType, family: int) -> int:
        """Set what the command line asks for; return 0, or the number of the error in the way."""
        try:
            for level, name, value in self._options[family]:
                sock.setsockopt(level, name, value)
        except OSError as failure:
            return failure.errno or errno.EIO
        return self._sources.bind(sock, family) if self._sources else 0


def _socket_options(settings: Settings, family: int) -> list[Option]:
    options = list(socket_options(settings, family))
    if settings.interface:
        options.append(bind_to_device(settings.interface))
    return options
