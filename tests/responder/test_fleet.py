"""Tests of what keeps a fleet of responders, over processes of this host in the place of its nodes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from common.addresses import Address, Endpoint
from common.errors import SessionerError
from common.workers.process import Zygote
from responder.fleet import Keeper
from responder.settings import Settings
from responder.workers import Workers
from tests.ports import find_free_ports
from tests.responder.support import Clients, broken_off, echoed

pytestmark = pytest.mark.usefixtures("run")


class LocalKeeper(Keeper):
    """A keeper of nodes that are processes, where no nodes join."""

    def __init__(self, count: int) -> None:
        self._shared = count > 1
        self._refusals = {}
        self._joining = None
        Workers.__init__(self, Settings(), count, count, Zygote("tests.responder.nodes", "asyncio"))

    async def open(self) -> None:
        """Begin the engines."""
        await Workers.open(self)


@asynccontextmanager
async def keeping(count: int) -> AsyncIterator[LocalKeeper]:
    """Give a keeper of so many nodes."""
    async with aclosing(LocalKeeper(count)) as keeper:
        await keeper.open()
        yield keeper


async def counts(keeper: Keeper) -> list[int]:
    """Return how many listeners each node has."""
    await keeper.pool.refresh()
    return [told.state.snapshot.listeners for told in keeper.pool.states()]


async def test_what_two_consoles_add_at_once_is_added_once() -> None:
    port = find_free_ports(1)
    endpoint, address = Endpoint("127.0.0.1", port, port), Address("127.0.0.1", port)
    for count in (1, 2):
        async with keeping(count) as keeper, Clients() as own:
            adding = (keeper.add_listeners(endpoint), keeper.add_listeners(endpoint))
            found = await asyncio.gather(*adding, return_exceptions=True)
            assert [addresses for addresses in found if isinstance(addresses, list)] == [[address]]
            (error,) = [error for error in found if isinstance(error, SessionerError)]
            assert str(error) == f"cannot listen on {address}: it is a listener already"
            assert await counts(keeper) == [1] * count
            await echoed(await own.connect(address))
            assert await keeper.remove_listeners(endpoint) == 1
            assert await counts(keeper) == [0] * count


async def test_an_adding_that_is_broken_off_leaves_no_node_listening() -> None:
    first = find_free_ports(600)
    endpoint = Endpoint("127.0.0.1", first, first + 599)
    async with keeping(2) as keeper:
        await broken_off(keeper, keeper.add_listeners(endpoint))
        assert ((await keeper.snapshot()).listeners, await counts(keeper)) == (0, [0, 0])
        assert len(await keeper.add_listeners(endpoint)) == 600
        assert await counts(keeper) == [600, 600]


async def test_an_address_that_no_node_has_leaves_no_node_listening() -> None:
    first = find_free_ports(600)
    async with keeping(1) as keeper:
        await keeper.add_listeners(Endpoint("127.0.0.1", first + 599, first + 599))
        async with keeping(1) as other:
            with pytest.raises(SessionerError, match=f"^cannot listen on 127.0.0.1:{first + 599}: Address already"):
                await other.add_listeners(Endpoint("127.0.0.1", first, first + 599))
            assert ((await other.snapshot()).listeners, await counts(other)) == (0, [0])
        assert await counts(keeper) == [1]
