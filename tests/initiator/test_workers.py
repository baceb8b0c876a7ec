"""Tests of the initiator's workers on real processes."""

import inspect
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.errors import UsageError
from common.options import Process
from common.paging import all_rows
from common.workers.process import Zygote
from initiator.engine import Engine
from initiator.settings import Settings
from initiator.workers import Workers, open_engine
from responder.engine import Engine as Responder
from responder.settings import Settings as ResponderSettings
from tests.support import until

pytestmark = pytest.mark.usefixtures("run")

# Methods of the engine that its workers' console calls, and nobody else.
WITHIN = {"hold_targets", "forget_targets", "set_shares"}


@asynccontextmanager
async def both(count: int, ports: int = 2, **settings: Any) -> AsyncIterator[tuple[Workers, Responder, list[Endpoint]]]:
    """Give so many workers with targets at a responder."""
    async with aclosing(Responder(ResponderSettings())) as responder:
        found = [await responder.add_listeners(Endpoint("127.0.0.1", 0, 0)) for _ in range(ports)]
        endpoints = [Endpoint(host, port, port) for ((host, port),) in found]
        origin = Zygote("initiator.worker", "asyncio")
        async with aclosing(Workers(Settings(seed=1, **settings), count, origin)) as workers:
            await workers.open()
            for endpoint in endpoints:
                await workers.add_targets(endpoint, 10)
            yield workers, responder, endpoints


async def test_workers_have_every_method_of_the_engine() -> None:
    for name, method in inspect.getmembers(Engine, inspect.iscoroutinefunction):
        if name.startswith("_") or name in WITHIN:
            continue
        ours = getattr(Workers, name)
        assert inspect.iscoroutinefunction(ours), name
        expected, taken = inspect.signature(method).parameters, inspect.signature(ours).parameters
        assert list(expected)[1:] == list(taken)[1:] or "args" in taken or len(expected) == len(taken), name


async def test_one_process_is_the_engine_itself() -> None:
    process = Process([], None, False, None, False, False, "uvloop")
    async with aclosing(await open_engine(Settings(seed=1), process)) as engine:
        assert isinstance(engine, Engine)


async def test_sessions_are_spread_over_workers_and_targets() -> None:
    async with both(2, 3) as (workers, _, endpoints):
        await workers.wait_held()
        now = await workers.snapshot()
        assert (now.asked, now.held, now.targets) == (3, 3, 3)
        await workers.set_sessions(31, None)
        await workers.wait_held()
        rows = [row async for row in all_rows(workers.target_page)]
        assert [row.share for row in rows] == [row.held for row in rows] == [11, 10, 10]
        assert [told.state.snapshot.held for told in workers.pool.states()] in ([15, 16], [16, 15])
        host, port, _ = endpoints[1]
        await workers.set_sessions(0, Address(host, port))
        await workers.wait_held()
        assert (await workers.snapshot()).held == 21
        with pytest.raises(UsageError, match="is no target"):
            await workers.set_sessions(1, Address("127.0.0.1", 1))


async def test_what_is_dropped_is_what_was_asked_for() -> None:
    async with both(3) as (workers, _, endpoints):
        await workers.set_sessions(10, None)
        await workers.wait_held()
        assert await workers.drop(7, reset=False) == 7
        await workers.wait_held()
        assert (await workers.snapshot()).established == 17
        host, port, _ = endpoints[0]
        await workers.set_sessions(0, Address(host, port))
        await workers.set_sessions(1, Address(endpoints[1].host, endpoints[1].first))
        await workers.wait_held()
        # Two of three workers hold nothing.
        assert await workers.drop(5, reset=True) == 1


async def test_draws_repeat_and_differ_between_workers() -> None:
    async with both(2, source_ips=("127.0.0.2", "127.0.0.3")) as (workers, _, _):
        await workers.set_sessions(8, None)
        await workers.wait_held()
        rows = [row async for row in all_rows(lambda start: workers.session_page(None, start))]
        hosts = [row.local.partition(":")[0] for row in rows]
        assert sorted(hosts) == ["127.0.0.2"] * 4 + ["127.0.0.3"] * 4
        parts = [workers.settings_of(number) for number in range(2)]
        assert parts == [workers.settings_of(number) for number in range(2)]
        assert len({part.seed for part in parts}) == 2
        places = sorted(part.place or 0.0 for part in parts)
        assert places[1] - places[0] == pytest.approx(0.5)


async def test_a_worker_that_dies_twice_is_replaced_twice() -> None:
    async with both(2) as (workers, _, _):
        await workers.set_sessions(20, None)
        await workers.wait_held()
        for times in (1, 2):
            os.kill(workers.pool.states()[0].process, signal.SIGKILL)

            async def is_replaced(times: int = times) -> bool:
                return (await workers.snapshot()).workers.replaced == times  # type: ignore[union-attr]

            await until(is_replaced)
            await workers.wait_held()
            now = await workers.snapshot()
            assert (now.held, now.established, now.losses) == (20, 20 + 10 * times, {"worker": 10 * times})


async def test_a_demand_is_divided_among_those_that_would_hold_it() -> None:
    async with both(2) as (workers, _, _):
        demand = await workers.demand(1000)
        assert (demand.sessions, demand.workers, demand.tuples) == (1000, 2, 2)
        assert demand.descriptors < 1000
