"""Addresses as they are written, and as the one number a table is keyed by."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from common.errors import UsageError

HIGHEST_PORT: Final = 65535
FORM: Final = "the form is ADDR:PORT or ADDR:PORT-PORT, such as 10.0.0.1:5000-5999 or [::1]:5000"

# A range of source addresses longer than this is a slip of the hand, not a plan.
MOST_SOURCES: Final = 65536

# An IPv6 address's number carries this bit, so that no IPv4 address has the same number.
_V6: Final = 1 << 128

_ENDPOINT: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^:\[\]]*)):(?P<first>\d+)(?:-(?P<last>\d+))?")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)


class Address(NamedTuple):
    """One (ip, port) of one end of a session; `host` is an IP literal without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return `10.0.0.1:80` or `[::1]:80`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Endpoint(NamedTuple):
    """A host, by literal or by name, and a range of its ports, both ends included."""

    host: str
    first: int
    last: int

    def __str__(self) -> str:
        """Return it as it is written: `10.0.0.1:80`, `[::1]:80-89`."""
        first = str(Address(self.host, self.first))
        return first if self.first == self.last else f"{first}-{self.last}"


def parse_endpoint(text: str) -> Endpoint:
    """Return what `ADDR:PORT[-PORT]` names; raises UsageError that names it and shows the form."""
    match = _ENDPOINT.fullmatch(text)
    if not match:
        raise _bad(text, "no port" if ":" not in text else "not an address and a port")
    first = _port(match["first"])
    last = _port(match["last"] or match["first"])
    if not 1 <= first <= HIGHEST_PORT or not 1 <= last <= HIGHEST_PORT:
        raise _bad(text, f"ports go from 1 to {HIGHEST_PORT}")
    if last < first:
        raise _bad(text, "the range of ports ends before it begins")
    return Endpoint(_parse_host(text, match["v6"], match["name"]), first, last)


def parse_address(text: str) -> Address:
    """Return the one address that `IP:PORT` names; raises UsageError for names and ranges too."""
    endpoint = parse_endpoint(text)
    if endpoint.first != endpoint.last or not _is_literal(endpoint.host):
        raise UsageError(f'"{text}" is not one address; write one like 10.0.0.1:5000 or [::1]:5000')
    return Address(endpoint.host, endpoint.first)


def parse_sources(text: str) -> list[str]:
    """Return the IP literals that `IP`, `IP-IP` or `10.0.0.1-9` names, in order; raises UsageError."""
    start, dash, end = text.partition("-")
    try:
        if "%" in text:
            raise ValueError("an address with a zone")
        low = ip_address(start)
        if not dash:
            high = low
        elif low.version == 4 and end.isdigit():
            high = ip_address(f"{start.rpartition('.')[0]}.{end}")
        else:
            high = ip_address(end)
    except ValueError:
        raise UsageError(
            f'bad source address "{text}": write one like 10.0.0.7, 10.0.0.7-10.0.0.9 or 10.0.0.7-9'
        ) from None
    if low.version != high.version or high < low:  # type: ignore[operator]
        raise UsageError(f'bad source address "{text}": the range ends before it begins')
    count = int(high) - int(low) + 1
    if count > MOST_SOURCES:
        raise UsageError(f'bad source address "{text}": {count} addresses, at most {MOST_SOURCES} can be used')
    return [str(low + offset) for offset in range(count)]


def plain_host(host: str) -> str:
    """Return an IP literal in its shortest form, with IPv4 mapped into IPv6 as plain IPv4."""
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(maxsize=65536)
def host_number(host: str) -> int:
    """Return the number of an IP literal: an IPv4 one below 2**32, an IPv6 one from 2**128 up.

    IPv4 mapped into IPv6, as a dual-stack listener sees it, has the number of the IPv4 address.
    """
    address = ip_address(plain_host(host))
    return int(address) if address.version == 4 else int(address) | _V6


def number_host(number: int) -> str:
    """Return the IP literal that `host_number` made a number of."""
    return str(IPv6Address(number & ~_V6)) if number & _V6 else str(IPv4Address(number))


def address_key(host: str, port: int) -> int:
    """Return the one number that a table keys an address by."""
    return host_number(host) << 16 | port


def key_address(key: int) -> Address:
    """Return the address that `address_key` made `key` of."""
    return Address(number_host(key >> 16), key & HIGHEST_PORT)


def _port(digits: str) -> int:
    """Return a number, or one that is no port for more digits than int() may take."""
    return int(digits) if len(digits) < 10 else HIGHEST_PORT + 1


def _parse_host(text: str, bracketed: str | None, name: str | None) -> str:
    if bracketed is not None:
        try:
            return plain_host(str(IPv6Address(bracketed)))
        except ValueError:
            raise _bad(text, "no IPv6 address between the brackets") from None
    if not name:
        raise _bad(text, "no address before the port")
    if re.fullmatch(r"[\d.]+", name):
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise _bad(text, "not an IPv4 address") from None
    if not _HOST_NAME.fullmatch(name):
        raise _bad(text, "not an address or a host name")
    return name


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _bad(text: str, why: str) -> UsageError:
    return UsageError(f'bad address "{text}": {why}; {FORM}')
