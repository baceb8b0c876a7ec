"""From a host and its ports to the socket addresses they stand for."""

import asyncio
from socket import SOCK_STREAM, gaierror
from typing import Any, Final, NamedTuple

from common.addresses import Address, Endpoint, plain_host
from common.errors import SessionerError

# Ports of a range before all else has its turn: half a millisecond.
_AT_ONCE: Final = 500


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
    hosts = {info[4][0]: info for info in found}
    addresses: list[SocketAddress] = []
    for host, info in hosts.items():
        plain, family, more = plain_host(str(host)), info[0], info[4][2:]
        for first in range(endpoint.first, endpoint.last + 1, _AT_ONCE):
            addresses += [
                SocketAddress(Address(plain, port), family, (host, port, *more), endpoint.host)
                for port in range(first, min(first + _AT_ONCE, endpoint.last + 1))
            ]
            await asyncio.sleep(0)
    return addresses
