"""Tests of the responder's workers on real processes."""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.dump import Dump
from common.errors import SessionerError
from common.paging import all_rows
from common.shortages import highest_descriptor
from common.workers.pool import Member
from common.workers.process import Zygote
from common.workers.serving import Told
from responder.settings import Settings
from responder.worker import NEARLY_FULL, State
from responder.workers import Workers
from tests.ports import find_free_ports
from tests.responder.support import ANY_PORT, Clients, broken_off, echoed
from tests.support import initiator, until

pytestmark = pytest.mark.usefixtures("run")


# Descriptors of a process, ours and so its workers'.
LIMIT = 400


@pytest.fixture
def _few_descriptors() -> Iterator[None]:
    """Let this process, and what it begins, have few descriptors; a daemon raises its own limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def working(count: int = 2, ports: int = 2) -> AsyncIterator[tuple[Workers, list[Address]]]:
    """Give so many workers with listeners, and the addresses of these."""
    async with aclosing(Workers(Settings(), count, count, Zygote("responder.worker", "asyncio"))) as workers:
        await workers.open()
        yield workers, [address for _ in range(ports) for address in await workers.add_listeners(ANY_PORT)]


def processes(workers: Workers) -> list[int]:
    """Return the processes of the workers."""
    return [told.process for told in workers.pool.states()]


async def told(workers: Workers, check: Callable[[Told[State]], object]) -> None:
    """Return when a check holds of what every worker has told."""

    async def all_have() -> bool:
        states = workers.pool.states()
        return len(states) == len(workers.pool.members) and all(map(check, states))

    await until(all_have)


async def replaced(workers: Workers, number: int) -> Member[Any]:
    """Kill a worker, and return the one that takes its place once it has told how it is then."""
    before = workers.pool.replaced
    os.kill(processes(workers)[number], signal.SIGKILL)

    async def is_replaced() -> bool:
        return workers.pool.replaced > before

    await until(is_replaced)
    await workers.pool.refresh()
    return workers.pool.members[number]


async def modes(workers: Workers, address: Address) -> list[str]:
    """Return in which mode each worker has a listener."""
    pages = [await workers.pool.call(member, "listener_page", 0, reading=True) for member in workers.pool.members]
    return [row.mode for page in pages for row in page.rows if row.listener == str(address)]


@contextmanager
def stopped(workers: Workers) -> Any:
    """Have all workers do nothing."""
    numbers = processes(workers)
    for process in numbers:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in numbers:
            os.kill(process, signal.SIGCONT)


async def test_what_is_changed_while_no_worker_answers_is_done_when_they_go_on(logged: list[Any]) -> None:
    async with working() as (workers, (first, second)):
        with stopped(workers):
            assert await workers.set_mode("sink", None) == 2
            await workers.set_hashsize(64)
            assert await workers.remove_listeners(Endpoint(first.host, first.port, first.port)) == 1
            with pytest.raises(SessionerError, match="no worker answers"):
                await workers.ask("marker_latency", lambda *_: (), (), reading=True)
        said = [record.getMessage() for record in logged]
        assert said.count("No worker answers; what is asked for, they do when they go on") == 3
        await told(workers, lambda now: now.state.snapshot.hashsize == 32)
        await told(workers, lambda now: list(now.state.counts) == [second])
        assert await modes(workers, second) == ["sink", "sink"]
        await replaced(workers, 0)
        await told(workers, lambda now: now.state.snapshot.hashsize == 32)
        assert await modes(workers, second) == ["sink", "sink"]


async def test_a_worker_that_takes_the_place_of_another_one_dumps_as_that_did() -> None:
    async with working() as (workers, _):
        dump = Dump(every=True, incoming=True, outgoing=False, word="client")
        await workers.set_dump(dump)
        made = await replaced(workers, 1)
        assert made.told
        assert made.told.state.snapshot.dump == str(dump)
        await workers.set_dump(None)
        made = await replaced(workers, 1)
        assert made.told
        assert made.told.state.snapshot.dump is None


@pytest.mark.usefixtures("_few_descriptors")
async def test_as_many_as_are_needed_are_begun_up_to_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those are filled then, as with a number of them, until there is no room for more clients."""
    monkeypatch.setattr("responder.workers.MOST_WORKERS", 3)
    async with aclosing(Workers(Settings(), None, 1, Zygote("responder.worker", "asyncio"))) as workers:
        await workers.open()
        ((_, port),) = await workers.add_listeners(Endpoint("127.0.0.1", 0, 0))
        with initiator(port, 1, "--exec", f"set {4 * LIMIT}", "--connect-rate", "500"):

            async def all_are_full() -> bool:
                now = await workers.snapshot()
                return now.exhausted == ("descriptors",) and now.held > 3 * NEARLY_FULL * highest_descriptor()

            await until(all_are_full)
            assert len(workers.pool.members) == 3


async def listening_in(workers: Workers) -> list[int]:
    """Return how many listeners the console has, and each of the workers."""
    await workers.pool.refresh()
    told = [each.state.snapshot.listeners for each in workers.pool.states()]
    return [(await workers.snapshot()).listeners, *told]


async def test_console_and_workers_agree_after_a_change_that_was_broken_off() -> None:
    first = find_free_ports(600)
    many = Endpoint("127.0.0.1", first, first + 599)
    async with working(ports=0) as (workers, _), Clients() as own:
        await broken_off(workers, workers.add_listeners(many))
        assert await listening_in(workers) == [0, 0, 0]
        with pytest.raises(ConnectionRefusedError):
            await own.connect(Address("127.0.0.1", first))
        assert len(await workers.add_listeners(many)) == 600
        assert await listening_in(workers) == [600] * 3
        for client in await own.several(Address("127.0.0.1", first + 599), 10):
            await echoed(client)
        await broken_off(workers, workers.remove_listeners(many))
        assert await listening_in(workers) == [0, 0, 0]
        await told(workers, lambda now: not now.state.counts)


async def test_listeners_whose_adding_is_broken_off_before_its_turn_are_closed() -> None:
    first = find_free_ports(1)
    async with working(ports=0) as (workers, _), Clients() as own:
        async with workers.pool.changing:
            adding = asyncio.create_task(workers.add_listeners(Endpoint("127.0.0.1", first, first)))

            async def is_bound() -> bool:
                with suppress(ConnectionRefusedError):
                    return bool(await own.connect(Address("127.0.0.1", first)))
                return False

            await until(is_bound)
            assert adding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await adding
        with pytest.raises(ConnectionRefusedError):
            await own.connect(Address("127.0.0.1", first))


async def test_what_listeners_have_counted_in_workers_that_have_ended_is_kept() -> None:
    async with working(count=1, ports=2) as (workers, (first, second)), Clients() as own:
        for number, address in enumerate((first, second, first), 1):
            for client in await own.several(address, number):
                await echoed(client)
            await workers.pool.refresh()
            await replaced(workers, 0)
        rows = {row.listener: row async for row in all_rows(workers.listener_page)}
        found = [
            (row.accepted, row.held, row.received, row.sent)
            for row in (rows[str(address)] for address in (first, second))
        ]
        assert found == [(4, 0, 20, 20), (2, 0, 10, 10)]
        await workers.remove_listeners(Endpoint(first.host, first.port, first.port))
        await workers.add_listeners(Endpoint(first.host, first.port, first.port))
        assert [row.accepted async for row in all_rows(workers.listener_page)] == [2, 0]
