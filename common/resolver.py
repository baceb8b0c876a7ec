"""From a host and its ports to the socket addresses they stand for."""

import asyncio
from socket import SOCK_STREAM, gaierror
from typing import Any, NamedTuple

from common.addresses import Address, Endpoint, plain_host
from common.errors import SessionerError
from common.turns import in_turns


class SocketAddress(NamedTuple):
    """One address as the socket calls want it, and the host as it was written."""

    address: Address
    family: int
    sockaddr: Any
    host: str


async def resolve(endpoint: Endpoint) -> list[SocketAddress]:
    """Return every port of every address that the host has, in the resolver's order.

    Raises SessionerError when the name is not known.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(endpoint.host, None, type=SOCK_STREAM)
    except (gaierror, UnicodeError) as failure:
        why = failure.strerror if isinstance(failure, gaierror) else failure
        raise SessionerError(f'host "{endpoint.host}" cannot be resolved: {why}') from None
    hosts = {str(info[4][0]): info for info in found}
    addresses = []
    for host, info in hosts.items():
        plain = plain_host(host)
        async for port in in_turns(range(endpoint.first, endpoint.last + 1)):
            sockaddr = (host, port, *info[4][2:])
            addresses.append(SocketAddress(Address(plain, port), info[0], sockaddr, endpoint.host))
    return addresses
