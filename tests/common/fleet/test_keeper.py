"""Tests of nodes that join a fleet, with processes in the place of its nodes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import pytest

from common.addresses import Endpoint
from common.errors import SessionerError
from common.workers.calls import Caller
from common.workers.process import Zygote
from common.workers.serving import Birth
from initiator.settings import Settings
from initiator.workers import Workers
from responder.engine import Engine as Responder
from responder.settings import Settings as ResponderSettings
from tests.support import until

pytest.importorskip("ray")

from common.fleet.actors import Actors, Place
from common.fleet.keeper import Joining

pytestmark = pytest.mark.usefixtures("run")


class Nodes(Zygote):
    """Processes for nodes: those that there are, and `new` ones, whose engines are begun once they are `ready`.

    One that has ended comes back when it is `there`; until then the others do its part.
    """

    covers = True
    back = "is back"

    def __init__(self, *names: str) -> None:
        super().__init__("initiator.worker", "asyncio")
        self.places = [Place(name, name, name, 1) for name in names]
        self.first = len(names)
        self.there = asyncio.Event()
        self.there.set()
        self.new: list[Place] = []
        self.ready = asyncio.Event()
        self.beginning = asyncio.Event()
        self.failure: Exception | None = None

    async def begin(self, number: int, birth: Birth, told: Callable[[Any], None]) -> Caller:
        if number < self.first:
            await self.there.wait()
        else:
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
async def fleet(*names: str) -> AsyncIterator[tuple[Workers, Nodes]]:
    """Give workers on one node, or on those with these names, that others can join."""
    nodes = Nodes(*names or ("one",))
    async with aclosing(Workers(Settings(seed=1), nodes.first, nodes)) as workers:
        await workers.open()
        joining = Joining(cast(Actors, nodes), workers.pool, workers._take_in)
        try:
            yield workers, nodes
        finally:
            joining.close()
            nodes.ready.set()
            nodes.there.set()


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


async def test_a_node_that_is_lost_while_another_one_joins_is_covered_and_comes_back() -> None:
    async with aclosing(Responder(ResponderSettings())) as responder, fleet("one", "two") as (workers, nodes):
        ((host, port),) = await responder.add_listeners(Endpoint("127.0.0.1", 0, 0))
        await workers.add_targets(Endpoint(host, port, port), None)
        await workers.set_sessions(30, None)
        await workers.wait_held()

        async def held() -> list[int]:
            await workers.wait_held()
            await workers.refresh()
            return [told.state.snapshot.held for told in workers.pool.states()]

        async def one_is_away() -> bool:
            return len(workers.pool.present()) == 1

        async def are_there(count: int) -> bool:
            return len(workers.pool.present()) == count

        nodes.new.append(Place("three", "three", "three", 1))
        await nodes.beginning.wait()
        nodes.there.clear()
        os.kill(workers.pool.states()[0].process, signal.SIGKILL)
        await until(one_is_away)
        nodes.ready.set()
        await until(lambda: are_there(2))
        async with workers.pool.changing:
            pass  # it has joined by then
        assert await held() == [30, 0]
        await workers.set_sessions(60, None)
        assert await held() == [30, 30]
        nodes.there.set()
        await until(lambda: are_there(3))
        await workers.set_sessions(90, None)
        assert await held() == [30, 30, 30]


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
