"""Free ports, of which no two processes of tests choose the same."""

import socket
from functools import cache

# Below every ephemeral port, so that no test's own session takes one between the check and the use.
_PORTS = range(20_000, 32_000)

# How many ports a process of tests has: more than its tests use while what they used before is in TIME_WAIT, some of
# them a thousand. There is room for six processes.
_WINDOW = 2000


def find_free_ports(count: int) -> int:
    """Return the first of so many neighbouring ports that are free on every address, the longest unused ones."""
    return _own_window().find(count)


class _Window:
    """Ports that one process alone chooses from, as long as its socket of this name is open.

    The name is one of the network, as ports are, and the kernel frees it however the process ends.
    """

    def __init__(self, ports: range) -> None:
        """Claim the ports; raises OSError when another process has them."""
        self._claim = socket.socket(socket.AF_UNIX)
        try:
            self._claim.bind(f"\0sessioner-tests-ports-{ports.start}")
        except OSError:
            self._claim.close()
            raise
        self._ports = ports
        self._next = 0

    def find(self, count: int) -> int:
        assert count <= len(self._ports), "that is more than one process of tests has"
        for _ in self._ports:
            if self._next + count > len(self._ports):
                self._next = 0
            found = self._ports[self._next : self._next + count]
            if all(map(_is_free, found)):
                self._next += count
                return found.start
            self._next += 1
        raise AssertionError(f"no {count} neighbouring ports are free")


@cache
def _own_window() -> _Window:
    for first in range(0, len(_PORTS), _WINDOW):
        try:
            return _Window(_PORTS[first : first + _WINDOW])
        except OSError:
            continue
    raise AssertionError("other processes of tests have all ports")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::", port))
        except OSError:
            return False
    return True
