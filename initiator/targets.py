"""What is said of targets that are there and that are not, in one process and in several."""

from collections.abc import Container, Sequence

from common.addresses import Address, Endpoint
from common.errors import UsageError
from common.resolver import SocketAddress
from common.turns import in_turns
from initiator.settings import HASHSIZE, HASHSIZE_TOGETHER


async def new_targets(
    endpoint: Endpoint, resolved: Sequence[SocketAddress], known: Container[Address]
) -> list[SocketAddress]:
    """Return those of an endpoint's addresses that are no targets yet; raises UsageError where all are."""
    found = [item async for item in in_turns(resolved) if item.address not in known]
    if not found:
        raise UsageError(f"{endpoint} is a target already; `set N TARGET` changes its share")
    return found


async def known_targets(
    endpoint: Endpoint, resolved: Sequence[SocketAddress], known: Container[Address]
) -> list[Address]:
    """Return those of an endpoint's addresses that are targets; raises UsageError where none is."""
    found = [item.address async for item in in_turns(resolved) if item.address in known]
    if not found:
        raise not_a_target(endpoint)
    return found


def table_size(hashsize: int | None, count: int) -> int:
    """Return the buckets that the table of each of so many new targets starts with; None where nobody says."""
    return hashsize or max(1, min(HASHSIZE, HASHSIZE_TOGETHER // count))


def not_a_target(where: Address | Endpoint) -> UsageError:
    """Return what is raised where an address is of no target."""
    return UsageError(f"{where} is no target; `details` shows the targets")


def no_target() -> UsageError:
    """Return what is raised where there is nothing to open sessions to."""
    return UsageError("there is no target; `target add ADDR:PORT` adds one")
