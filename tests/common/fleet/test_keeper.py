"""Tests of nodes that join a fleet, with processes in the place of its nodes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import pytest

from common.errors import SessionerError
from common.workers.calls import Caller
from common.workers.process import Zygote
from common.workers.serving import Birth
from initiator.settings import Settings
from initiator.workers import Workers
from tests.support import until

pytest.importorskip("ray")

from common.fleet.actors import Actors, Place
from common.fleet.keeper import Joining

pytestmark = pytest.mark.usefixtures("run")


class Nodes(Zygote):
    """Processes for nodes: one that there is, and `new` ones, whose engines are begun once they are `ready`."""

    def __init__(self) -> None:
        super().__init__("initiator.worker", "asyncio")
        self.places = [Place("one", "one", "one", 1)]
        self.new: list[Place] = []
        self.ready = asyncio.Event()
        self.beginning = asyncio.Event()
        self.failure: Exception | None = None

    async def begin(self, number: int, birth: Birth, told: Callable[[Any], None]) -> Caller:
        if number:
            self.beginning.set()
            await self.ready.wait()
            if self.failure:
                raise self.failure
        return await super().begin(number, birth, told)

    async def new_places(self) -> list[Place]:
        if self.failure:
            failure, self.failure = self.failure, None
            raise failure
        known = {place.address for place in self.places}
        return [place for place in self.new if place.address not in known]

    def add(self, place: Place) -> None:
        self.places.append(place)

    def remove_last(self) -> None:
        del self.places[-1:]


@asynccontextmanager
async def fleet() -> AsyncIterator[tuple[Workers, Nodes]]:
    """Give workers on one node that others can join."""
    nodes = Nodes()
    async with aclosing(Workers(Settings(seed=1), 1, nodes)) as workers:
        await workers.open()
        joining = Joining(cast(Actors, nodes), workers.pool, workers._take_in)
        try:
            yield workers, nodes
        finally:
            joining.close()
            nodes.ready.set()


async def joined(workers: Workers) -> None:
    """Return when there are two engines that ping."""

    async def both_ping() -> bool:
        states = workers.pool.states()
        return len(states) == 2 and all(told.state.snapshot.ping for told in states)

    await until(both_ping)


async def test_a_node_that_takes_long_to_join_holds_up_no_change() -> None:
    async with fleet() as (workers, nodes):
        nodes.new.append(Place("two", "two", "two", 1))
        await nodes.beginning.wait()
        assert await workers.set_ping(True)
        assert len(workers.pool.members) == 1
        nodes.ready.set()
        await joined(workers)


async def test_nodes_join_after_an_error_that_nobody_expected(logged: list[Any]) -> None:
    async with fleet() as (workers, nodes):
        assert await workers.set_ping(True)
        nodes.ready.set()
        nodes.failure = ZeroDivisionError("a bug")
        nodes.new.append(Place("two", "two", "two", 1))
        await joined(workers)
        assert any("This is a bug, and nodes that join" in record.getMessage() for record in logged)


async def test_a_node_where_none_can_be_begun_does_not_join_and_others_do(logged: list[Any]) -> None:
    async with fleet() as (workers, nodes):
        assert await workers.set_ping(True)
        nodes.new.append(Place("two", "two", "two", 1))
        await nodes.beginning.wait()
        nodes.failure = SessionerError("it is broken")
        nodes.ready.set()

        async def is_refused() -> bool:
            return any("two does not join the fleet: it is broken" in record.getMessage() for record in logged)

        await until(is_refused)
        nodes.failure = None
        nodes.new.append(Place("three", "three", "three", 1))
        await joined(workers)
        assert [place.node for place in nodes.places] == ["one", "three"]
