"""The local ports of sessions."""

import errno
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from common.system import local_port_range
from initiator.ports import LocalPorts


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Close whatever is put onto it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def place() -> float:
    """Return a place in the range of local ports from which on nobody has one: other tests run beside these."""
    bounds = local_port_range()
    assert bounds
    low, high = bounds
    rng = random.Random()
    for _ in range(1000):
        place = rng.random() * 0.99
        first = low + int(place * (high - low))
        if all(map(is_free, range(first, first + 64))):
            return place
    raise AssertionError("no 64 neighbouring ports are free")


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("", port))
        except OSError:
            return False
    return True


def new_socket(stack: ExitStack) -> socket.socket:
    sock = stack.enter_context(socket.socket())
    sock.setblocking(False)
    return sock


def test_ports_are_taken_in_turn_and_told(stack: ExitStack, place: float) -> None:
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    ports = LocalPorts(place)
    bounds = local_port_range()
    assert bounds
    before = None
    for _ in range(20):
        sock = new_socket(stack)
        error, port = ports.connect(sock, server.getsockname())
        assert error in (0, errno.EINPROGRESS)
        assert bounds[0] <= port <= bounds[1]
        assert sock.getsockname()[1] == port
        # In turn, a few that somebody else has left out.
        assert before is None or 1 <= (port - before) % (bounds[1] - bounds[0] + 1) <= 4
        before = port


@pytest.mark.parametrize("taken", [1, 3])
def test_ports_that_are_taken_are_left_out(stack: ExitStack, place: float, taken: int) -> None:
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    for _ in range(taken):
        assert LocalPorts(place).connect(new_socket(stack), server.getsockname())[1]
    sock = new_socket(stack)
    error, port = LocalPorts(place).connect(sock, server.getsockname())
    assert error in (0, errno.EINPROGRESS)
    assert sock.getsockname()[1] == port


def test_the_kernel_chooses_when_one_port_after_the_other_is_taken(stack: ExitStack, place: float) -> None:
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    others = LocalPorts(place)
    for _ in range(40):
        others.connect(new_socket(stack), server.getsockname())
    sock = new_socket(stack)
    error, port = LocalPorts(place).connect(sock, server.getsockname())
    assert error in (0, errno.EINPROGRESS)
    assert port == 0
    assert sock.getsockname()[1]


def test_a_turn_ends_with_the_range_and_begins_again(stack: ExitStack) -> None:
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    bounds = local_port_range()
    assert bounds
    ports = LocalPorts(1.0)
    assert bounds[0] <= ports.connect(new_socket(stack), server.getsockname())[1] <= bounds[0] + 4


def test_ipv6_has_its_ports_chosen_too(stack: ExitStack, place: float) -> None:
    server = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
    sock = stack.enter_context(socket.socket(socket.AF_INET6))
    sock.setblocking(False)
    _, port = LocalPorts(place).connect(sock, server.getsockname())
    assert sock.getsockname()[1] == port != 0
