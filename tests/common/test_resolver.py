"""Tests of finding the socket addresses that hosts and ports stand for; nothing is asked of any name server."""

import asyncio
import socket
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.errors import SessionerError
from common.resolver import SocketAddress, resolve

pytestmark = pytest.mark.usefixtures("run")


async def test_a_literal_stands_for_itself() -> None:
    found = await resolve(Endpoint("127.0.0.9", 5000, 5000))
    assert found == [SocketAddress(Address("127.0.0.9", 5000), socket.AF_INET, ("127.0.0.9", 5000), "127.0.0.9")]


async def test_a_range_stands_for_each_of_its_ports_in_order() -> None:
    found = await resolve(Endpoint("127.0.0.1", 65533, 65535))
    assert [item.address for item in found] == [Address("127.0.0.1", port) for port in (65533, 65534, 65535)]
    assert [item.sockaddr for item in found] == [item.address for item in found]


class SingleMindedLoop(asyncio.SelectorEventLoop):
    """A loop that asks for no turn while a literal is looked up, so that all turns are those of what is tested."""

    async def getaddrinfo(self, *arguments: Any, **options: Any) -> Any:
        return socket.getaddrinfo(*arguments, **options)


def test_others_have_their_turn_while_a_long_range_is_gone_through() -> None:
    async def turns() -> int:
        resolving, count = asyncio.create_task(resolve(Endpoint("127.0.0.1", 1, 65535))), 0
        while not resolving.done():
            await asyncio.sleep(0)
            count += 1
        assert [item.address.port for item in await resolving] == [*range(1, 65536)]
        return count

    with asyncio.Runner(loop_factory=SingleMindedLoop) as runner:
        assert runner.run(turns()) > 100


async def test_an_ipv6_literal_has_an_address_that_sockets_take() -> None:
    (found,) = await resolve(Endpoint("::1", 0, 0))
    assert (found.address, found.family) == (Address("::1", 0), socket.AF_INET6)
    with socket.socket(found.family) as sock:
        sock.bind(found.sockaddr)


async def test_a_name_stands_for_every_address_it_has() -> None:
    known = {info[4][0] for info in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)}
    found = await resolve(Endpoint("localhost", 80, 81))
    assert sorted(item.address for item in found) == sorted(
        Address(str(host), port) for host in known for port in (80, 81)
    )


async def test_a_name_that_cannot_be_one_is_told_in_one_line() -> None:
    host = f"{'a' * 64}.test"
    with pytest.raises(SessionerError, match=f'^host "{host}" cannot be resolved: [^\n]+$'):
        await resolve(Endpoint(host, 80, 80))
