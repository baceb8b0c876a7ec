"""Tests of calls of methods in another process, both ends in one."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from typing import Any

import pytest

from common.errors import SessionerError, UsageError
from common.workers.calls import Caller, GoneError, Server, Wire
from tests.support import descriptors, until

pytestmark = pytest.mark.usefixtures("run")


class Methods:
    """What is called."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.cancelled = 0

    async def double(self, value: Any) -> Any:
        return value * 2

    async def wait(self) -> str:
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "opened"

    async def unlock(self) -> None:
        self.open.set()

    async def refuse(self) -> None:
        raise UsageError("there is no such thing")

    async def fail(self) -> None:
        raise ZeroDivisionError("a bug")

    async def name(self, sockets: list[socket]) -> list[int]:
        found = [os.fstat(sock.fileno()).st_ino for sock in sockets]
        for sock in sockets:
            sock.close()
        return found


class Pair:
    """Both ends, and what was told unasked."""

    def __init__(self, caller: Caller, server: Server, methods: Methods, told: list[Any]) -> None:
        self.caller = caller
        self.server = server
        self.methods = methods
        self.told = told


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Give a caller and a server that are connected."""
    (ours, theirs), (passing, receiving) = socketpair(), socketpair(AF_UNIX, SOCK_SEQPACKET)
    for sock in (ours, theirs):
        sock.setblocking(False)
    told: list[Any] = []
    methods = Methods()
    wire = await Wire.over(theirs)

    async def settled() -> None:
        server.tell("settled")

    server = Server(wire, receiving, settled)
    caller = Caller(await Wire.over(ours), passing, told.append)
    serving = asyncio.create_task(server.serve(lambda name: getattr(methods, name)))
    listening = asyncio.create_task(caller.listen())
    try:
        yield Pair(caller, server, methods, told)
    finally:
        caller.close()
        await listening
        await serving
        wire.close()
        receiving.close()
        await asyncio.sleep(0)


async def test_several_calls_are_under_way_at_once() -> None:
    async with pair() as both:
        waiting = [asyncio.create_task(both.caller.call("wait", ())) for _ in range(3)]
        answers = await asyncio.gather(*(both.caller.call("double", (number,)) for number in range(50)))
        assert answers == [2 * number for number in range(50)]
        assert not any(task.done() for task in waiting)
        await both.caller.call("unlock", ())
        assert await asyncio.gather(*waiting) == ["opened"] * 3


async def test_what_is_raised_there_is_raised_here(logged: list[Any]) -> None:
    async with pair() as both:
        with pytest.raises(UsageError, match="there is no such thing"):
            await both.caller.call("refuse", ())
        assert not logged
        with pytest.raises(RuntimeError, match="fail failed: a bug"):
            await both.caller.call("fail", ())
        assert "This is a bug" in logged[0].getMessage()
        assert await both.caller.call("double", ("a",)) == "aa"


async def test_a_long_answer_comes_whole() -> None:
    async with pair() as both:
        data = os.urandom(3_000_000)
        assert await both.caller.call("double", (data,)) == data * 2


async def test_a_call_that_is_cancelled_here_is_cancelled_there() -> None:
    async with pair() as both:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(both.caller.call("wait", ()), 0.05)

        async def is_cancelled() -> bool:
            return both.methods.cancelled == 1

        await until(is_cancelled)
        assert await both.caller.call("double", (1,)) == 2


async def test_a_change_is_told_before_its_answer_and_a_look_is_not() -> None:
    async with pair() as both:
        await both.caller.call("double", (1,))
        assert both.told == ["settled"]
        await both.caller.call("double", (1,), reading=True)
        assert both.told == ["settled"]


@pytest.mark.parametrize("count", [1, 253, 254, 600])
async def test_descriptors_come_along_in_their_order(count: int) -> None:
    sockets = [socket() for _ in range(count)]
    try:
        async with pair() as both:
            expected = [os.fstat(sock.fileno()).st_ino for sock in sockets]
            assert await both.caller.call("name", (), sockets) == expected
    finally:
        for sock in sockets:
            sock.close()


async def test_calls_end_with_the_process() -> None:
    async with pair() as both:
        waiting = [asyncio.create_task(both.caller.call("wait", ())) for _ in range(2)]
        await both.caller.call("double", (1,))
        both.server.close()
        for task in waiting:
            with pytest.raises(GoneError):
                await task
        assert both.caller.gone
        with pytest.raises(GoneError):
            await both.caller.call("double", (1,))


async def test_nothing_more_is_told_to_one_that_does_not_read() -> None:
    ours, theirs = socketpair()
    passing, receiving = socketpair(AF_UNIX, SOCK_SEQPACKET)
    theirs.setblocking(False)
    with ours, passing, receiving:
        wire = await Wire.over(theirs)
        server = Server(wire, receiving, asyncio.Event().wait)  # type: ignore[arg-type]
        for _ in range(1000):
            server.tell(bytes(10_000))
        assert wire.clogged
        held = wire.unread
        server.tell(bytes(10_000))
        assert wire.unread == held
        wire.close()


async def test_descriptors_for_one_that_takes_none_are_an_error() -> None:
    async with pair() as both:
        with socket() as sock, pytest.raises(SessionerError, match="cannot be given a listener"):
            for _ in range(10_000):
                both.caller.hand_over(0, [sock])


@contextmanager
def room_for(more: int) -> Iterator[None]:
    """Let this process have so many descriptors more than it has."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket() as probe:
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno() + more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(("count", "room"), [(1, 0), (40, 0), (40, 10), (300, 10), (300, 260)])
async def test_descriptors_that_there_is_no_room_for_are_an_error_and_the_next_ones_come(count: int, room: int) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket()) for _ in range(count)]
        inodes = [os.fstat(sock.fileno()).st_ino for sock in sockets]
        async with pair() as both:
            with room_for(room):
                calls = [asyncio.create_task(both.caller.call("name", (), sockets)) for _ in range(2)]
                for call in calls:
                    with pytest.raises(SessionerError, match=f"no descriptors left for {count} listeners?: raise"):
                        await call
            before = descriptors()
            assert await both.caller.call("name", (), sockets) == inodes
            assert descriptors() == before


async def test_what_a_call_that_could_not_send_all_has_sent_is_no_other_call_s() -> None:
    async with pair() as both:
        with socket() as one, socket() as other:
            both.caller.hand_over(0, [one])
            assert await both.caller.call("name", (), [other]) == [os.fstat(other.fileno()).st_ino]
