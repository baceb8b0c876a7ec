"""Tests of the options of sockets, with a responder in this process whose accepted sockets inherit them."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from common.addresses import Address, Endpoint, plain_host
from common.errors import UsageError
from common.socket_options import parse_dscp, parse_size
from tests.responder.support import Clients, echoed, listening

WMEM_MAX = Path("/proc/sys/net/core/wmem_max")


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("65536", 65_536), ("64k", 65_536), ("64K", 65_536), ("4m", 4 << 20), ("1024m", 1 << 30)],
)
def test_a_size_is_in_bytes_and_multiples_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "k", "64kb", "1.5k", "1g", "1025m", "99999999999", "\u0663"])
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=f'^"{text}" is not a size from 1 to 1024m; write one like'):
        parse_size(text)


@pytest.mark.parametrize("value", [0, 46, 63])
def test_a_dscp_has_six_bits(value: int) -> None:
    assert parse_dscp(str(value)) == value


@pytest.mark.parametrize("text", ["64", "-1", "EF", "", "1.5"])
def test_what_is_no_dscp_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=f'^"{text}" is '):
        parse_dscp(text)


def sockets_open() -> Iterator[int]:
    """Yield the descriptors of this process that are sockets."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):
            if str(entry.readlink()).startswith("socket:"):
                yield int(entry.name)


@contextmanager
def other_end(client: socket.socket) -> Iterator[socket.socket]:
    """Give the responder's end of a session that is in this process as well."""
    wanted = client.getsockname()[:2]
    for descriptor in sockets_open():
        with socket.socket(fileno=os.dup(descriptor)) as sock, suppress(OSError):
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                host, port = sock.getpeername()[:2]
                if (plain_host(host), port) == wanted:
                    yield sock
                    return
    raise AssertionError(f"nobody has the other end of {wanted}")


OPTIONS: list[tuple[dict[str, Any], int, int, int]] = [
    ({"nagle": False}, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    ({"nagle": True}, socket.IPPROTO_TCP, socket.TCP_NODELAY, 0),
    ({}, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    ({"rcvbuf": 50_000}, socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000),
    ({"sndbuf": 60_000}, socket.SOL_SOCKET, socket.SO_SNDBUF, 120_000),
    ({"dscp": 46}, socket.IPPROTO_IP, socket.IP_TOS, 46 << 2),
    ({"dscp": 0}, socket.IPPROTO_IP, socket.IP_TOS, 0),
]


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(("options", "level", "option", "value"), OPTIONS)
@pytest.mark.parametrize("listen", ["127.0.0.1", "::"])
async def test_sessions_have_what_the_settings_say(
    options: dict[str, Any], level: int, option: int, value: int, listen: str
) -> None:
    """A client of IPv4 has it on a listener of either family."""
    async with listening(1, Endpoint(listen, 0, 0), **options) as (_, (address,)), Clients() as own:
        client = await own.connect(Address("127.0.0.1", address.port))
        await echoed(client)
        with other_end(client) as accepted:
            assert accepted.getsockopt(level, option) == value


@pytest.mark.usefixtures("run")
async def test_the_dscp_is_that_of_ipv6_too() -> None:
    async with listening(1, Endpoint("::1", 0, 0), dscp=10) as (_, (address,)), Clients() as own:
        client = await own.connect(address)
        await echoed(client)
        with other_end(client) as accepted:
            assert accepted.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 10 << 2


@pytest.mark.usefixtures("run")
async def test_a_buffer_that_the_kernel_has_cut_is_told_once(logged: list[logging.LogRecord]) -> None:
    asked, limit = 1 << 30, int(WMEM_MAX.read_text())  # noqa: ASYNC240
    assert limit < asked
    async with listening(3, sndbuf=asked, rcvbuf=5_000):
        warnings = [record.getMessage() for record in logged if record.levelno == logging.WARNING]
    assert warnings == [f"--sndbuf {asked} is more than net.core.wmem_max allows: it is {limit}"]
