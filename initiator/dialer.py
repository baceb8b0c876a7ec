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
_UNDER_WAY: Final = errno.EINPROGRESS


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
        self._connect = self._ports.connect
        self._plain = not self._sources and not any(self._options.values())
        self._highest = highest_descriptor()

    def dial(self, remote: Remote, host: int = 0) -> tuple[SocketType, int, int]:
        """Send a SYN; return its socket, the number of the error (EINPROGRESS for none), the local address's key.

        Without source addresses of ours, attempts begun together go out by the same route, so they share the `host`
        part of the key: only the first, for which it is 0, has to ask. Raises OSError where there is no socket, EMFILE
        also while the descriptors kept for other things are left. One call is all: each costs a session a percent.
        """
        sock = SocketType(remote.family, _STREAM)
        if sock.fileno() >= self._highest:
            sock.close()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        error = 0 if self._plain else self._prepare(sock, remote.family)
        if error:
            return sock, error, 0
        error, port = self._connect(sock, remote.sockaddr)
        if error != _UNDER_WAY:
            return sock, error, 0
        key = host | port if host and port and not self._sources else self._key(sock, port)
        if key == remote.key:
            # Where nobody listens, a port can be opened from that very port.
            error = errno.ECONNREFUSED
        return sock, error, key

    def _key(self, sock: SocketType, port: int) -> int:
        """Return the number of a socket's local address, whose port was to be this one."""
        host, actual = sock.getsockname()[:2]
        if port and port != actual:
            self._ports.read_range()
        return host_number(host) << 16 | int(actual)

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
