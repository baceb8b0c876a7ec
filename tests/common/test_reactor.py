"""Tests of the reactor, with pipes as its descriptors."""

import asyncio
import logging
import os
import select
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest

from common.reactor import BEAT, EDGE, READ, WRITE, Handler, Job, Reactor
from tests.support import stall, until

pytestmark = pytest.mark.usefixtures("run")

# Pipes with something to read: some batches full of events.
_MANY = 100

OpenPipes = Callable[[int], list[tuple[int, int]]]


class Called:
    """A handler that keeps the events it was called with, and then calls a function."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.events: list[int] = []
        self._then = then

    def ready(self, events: int) -> None:
        self.events.append(events)
        self._then()


def fail() -> None:
    raise ZeroDivisionError


@pytest.fixture
def open_pipes() -> Iterator[OpenPipes]:
    """Give a function that opens so many pipes, each its reading and its writing end; they are closed at the end."""
    opened: list[tuple[int, int]] = []

    def open_some(count: int) -> list[tuple[int, int]]:
        new = [os.pipe2(os.O_NONBLOCK) for _ in range(count)]
        opened.extend(new)
        return new

    yield open_some
    for ends in opened:
        for descriptor in ends:
            os.close(descriptor)


async def once(check: Callable[[], object]) -> None:
    async def checked() -> bool:
        return bool(check())

    await until(checked)


async def beat(reactor: Reactor) -> None:
    """Return after the next beat of the pulse."""
    beats: list[float] = []
    reactor.on_beat(lambda: beats.append(reactor.now))
    await once(lambda: beats)


def steps(record: list[str], name: str, count: int) -> Job:
    """Step so many times, each of them recorded under a name."""
    for _ in range(count):
        record.append(name)
        yield


async def test_what_is_called_back_after_a_batch_is_called_once(open_pipes: OpenPipes) -> None:
    pipes = open_pipes(2)
    called: list[str] = []
    with closing(Reactor()) as reactor:
        first = Called(lambda: reactor.after_batch(lambda: called.append("after")))
        second = Called(lambda: called.append("handled"))
        for (reading, writing), handler in zip(pipes, (first, second), strict=True):
            reactor.add(reading, handler, READ | EDGE)
            os.write(writing, b"x")
        await once(lambda: second.events)
        os.write(pipes[1][1], b"x")
        await once(lambda: len(second.events) == 2)
    assert called == ["handled", "after", "handled"]


async def test_a_handler_is_called_with_what_is_reported(open_pipes: OpenPipes) -> None:
    ((reading, writing),) = open_pipes(1)
    reader, writer = Called(), Called()
    with closing(Reactor()) as reactor:
        reactor.add(reading, reader, READ | EDGE)
        reactor.add(writing, writer, WRITE | EDGE)
        await once(lambda: writer.events)
        assert not reader.events
        os.write(writing, b"x")
        await once(lambda: reader.events)
    assert writer.events == [select.EPOLLOUT]
    assert reader.events == [select.EPOLLIN]


async def test_handlers_are_found_by_descriptor(open_pipes: OpenPipes) -> None:
    ((reading, _),) = open_pipes(1)
    handler = Called()
    with closing(Reactor()) as reactor:
        reactor.add(reading, handler, READ)
        assert reactor.handlers[reading] is handler
        reactor.forget(reading)
        assert reactor.handlers[reading] is None


async def test_what_is_pending_is_reported_again_after_a_change_of_events(open_pipes: OpenPipes) -> None:
    ((reading, writing),) = open_pipes(1)
    handler = Called()
    with closing(Reactor()) as reactor:
        reactor.add(reading, handler, READ | EDGE)
        os.write(writing, b"x")
        await once(lambda: handler.events)
        reactor.modify(reading, READ | EDGE)
        await once(lambda: len(handler.events) == 2)
        reactor.modify(reading, 0)
        os.write(writing, b"x")
        await beat(reactor)
    assert len(handler.events) == 2


async def test_a_forgotten_handler_is_not_called_for_what_the_same_batch_reports(open_pipes: OpenPipes) -> None:
    pipes = open_pipes(5)
    called: list[int] = []
    with closing(Reactor()) as reactor:

        def forget_the_others(descriptor: int) -> None:
            called.append(descriptor)
            for reading, _writing in pipes:
                if reading != descriptor:
                    reactor.forget(reading)

        for reading, writing in pipes:
            reactor.add(reading, Called(lambda reading=reading: forget_the_others(reading)), READ | EDGE)  # type: ignore[misc]
            os.write(writing, b"x")
        await beat(reactor)
        await beat(reactor)
    assert len(called) == 1


async def test_a_handler_that_raises_takes_nothing_from_the_others(
    open_pipes: OpenPipes, logged: list[logging.LogRecord]
) -> None:
    pipes = open_pipes(100)
    handlers = [Called(fail if number % 3 == 0 else lambda: None) for number in range(len(pipes))]
    with closing(Reactor()) as reactor:
        for (reading, writing), handler in zip(pipes, handlers, strict=True):
            reactor.add(reading, handler, READ | EDGE)
            os.write(writing, b"x")
        await once(lambda: all(handler.events for handler in handlers))
        for _reading, writing in pipes:
            os.write(writing, b"x")
        await once(lambda: all(len(handler.events) == 2 for handler in handlers))
    assert [record.levelno for record in logged] == [logging.ERROR] * 68
    assert all(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in logged)


async def test_again_calls_a_handler_with_the_same_events_after_the_others(open_pipes: OpenPipes) -> None:
    pipes = open_pipes(3)
    order: list[int] = []
    events: list[int] = []
    with closing(Reactor()) as reactor:

        class Unread:
            """Reads one byte of three at a time."""

            def __init__(self, number: int) -> None:
                self._number = number

            def ready(self, reported: int) -> None:
                order.append(self._number)
                events.append(reported)
                os.read(pipes[self._number][0], 1)
                if order.count(self._number) < 3:
                    reactor.again(self, reported)

        for number, (reading, writing) in enumerate(pipes):
            reactor.add(reading, Unread(number), READ | EDGE)
            os.write(writing, b"xyz")
        await once(lambda: len(order) == 9)
    assert order == [*order[:3]] * 3
    assert sorted(order[:3]) == [0, 1, 2]
    assert set(events) == {select.EPOLLIN}


@pytest.mark.parametrize(("slice_", "before"), [(60.0, range(_MANY - 15, _MANY + 1)), (0.0, range(1, 17))])
async def test_what_is_called_again_waits_for_what_is_reported_but_for_once_a_wake(
    open_pipes: OpenPipes, monkeypatch: pytest.MonkeyPatch, slice_: float, before: range
) -> None:
    """As long as full batches are reported they come first; where a wake has time for one batch only, in between."""
    monkeypatch.setattr("common.reactor.SLICE", slice_)
    pipes = open_pipes(_MANY)
    heard: list[int] = []
    with closing(Reactor()) as reactor:
        for reading, writing in pipes:
            reactor.add(reading, Called(lambda: heard.append(1)), READ | EDGE)
            os.write(writing, b"x")
        heard_before: list[int] = []
        reactor.again(Called(lambda: heard_before.append(len(heard))), READ)
        await once(lambda: heard_before and len(heard) == _MANY)
    assert len(heard_before) == 1
    assert heard_before[0] in before


async def test_a_handler_that_raises_when_called_again_takes_nothing_from_the_others() -> None:
    handlers = [Called(fail), Called(), Called(fail), Called()]
    with closing(Reactor()) as reactor:
        for handler in handlers:
            reactor.again(handler, READ)
        await once(lambda: handlers[-1].events)
    assert [handler.events for handler in handlers] == [[READ]] * 4


async def test_jobs_are_stepped_in_turn_until_each_has_ended() -> None:
    record: list[str] = []
    with closing(Reactor()) as reactor:
        reactor.start(steps(record, "a", 3))
        reactor.start(steps(record, "b", 1))
        await reactor.run(steps(record, "c", 5))
    assert "".join(record) == "abcacaccc"


async def test_a_job_that_raises_ends_alone(logged: list[logging.LogRecord]) -> None:
    def failing() -> Job:
        yield
        fail()

    record: list[str] = []
    with closing(Reactor()) as reactor:
        reactor.start(failing())
        await reactor.run(steps(record, "a", 5))
        await reactor.run(steps(record, "b", 1))
    assert "".join(record) == "aaaaab"
    assert [record.levelno for record in logged] == [logging.ERROR]


async def test_a_job_may_start_another() -> None:
    record: list[str] = []
    with closing(Reactor()) as reactor:

        def starting() -> Job:
            reactor.start(steps(record, "a", 2))
            yield

        await reactor.run(starting())
        await once(lambda: len(record) == 2)


async def test_an_endless_job_leaves_everything_else_its_turn(open_pipes: OpenPipes) -> None:
    ((reading, writing),) = open_pipes(1)
    ended = False

    def endless() -> Job:
        nonlocal ended
        try:
            while True:
                yield
        finally:
            ended = True

    handler, beats = Called(), []
    with closing(Reactor()) as reactor:
        reactor.on_beat(lambda: beats.append(1))
        reactor.add(reading, handler, READ | EDGE)
        reactor.start(endless())
        os.write(writing, b"x")
        await once(lambda: handler.events and len(beats) > 3)
        await asyncio.sleep(0)
        assert not ended
    assert ended


async def test_a_run_raises_what_its_job_raises() -> None:
    def broken() -> Job:
        yield
        fail()

    with closing(Reactor()) as reactor, pytest.raises(ZeroDivisionError):
        await reactor.run(broken())


@pytest.mark.parametrize("pause", [None, 3600.0])
async def test_closing_ends_a_run_that_is_awaited(pause: float | None) -> None:
    def endless() -> Job:
        while True:
            yield pause

    reactor = Reactor()
    done = reactor.run(endless())
    await beat(reactor)
    reactor.close()
    await done


async def test_closing_ends_a_run_that_has_not_begun() -> None:
    record: list[str] = []
    reactor = Reactor()
    done = reactor.run(steps(record, "a", 3))
    reactor.close()
    await done
    assert not record


async def test_what_a_run_raises_that_nobody_awaits_any_more_is_logged(logged: list[logging.LogRecord]) -> None:
    def broken() -> Job:
        yield
        fail()

    with closing(Reactor()) as reactor:
        reactor.run(broken()).cancel()
        await once(lambda: logged)
    assert "This is a bug" in logged[0].getMessage()


async def test_a_descriptor_that_epoll_refuses_has_no_handler(tmp_path: Path) -> None:
    """A regular file is always ready: epoll_ctl(2) refuses it."""
    with closing(Reactor()) as reactor, (tmp_path / "file").open("w") as file:
        with pytest.raises(PermissionError):
            reactor.add(file.fileno(), Called(), READ)
        assert reactor.handlers[file.fileno()] is None


async def test_a_walk_visits_every_handler_by_descriptor(open_pipes: OpenPipes) -> None:
    descriptors = [reading for reading, _ in open_pipes(200)]
    visited: list[Handler] = []
    with closing(Reactor()) as reactor:
        for descriptor in descriptors:
            reactor.add(descriptor, Called(), READ)
        await reactor.run(reactor.walk(lambda handler: visited.append(handler)))
        assert visited == [reactor.handlers[descriptor] for descriptor in sorted(descriptors)]


async def test_a_walk_ends_where_a_visit_says_so(open_pipes: OpenPipes) -> None:
    visited: list[Handler] = []

    def visit(handler: Handler) -> bool:
        visited.append(handler)
        return len(visited) == 70

    with closing(Reactor()) as reactor:
        for reading, _ in open_pipes(200):
            reactor.add(reading, Called(), READ)
        await reactor.run(reactor.walk(visit))
    assert len(visited) == 70


async def test_a_walk_goes_on_while_handlers_come_and_go(open_pipes: OpenPipes) -> None:
    pipes = open_pipes(300)
    visited: list[Handler] = []
    with closing(Reactor()) as reactor:

        def visit(handler: Handler) -> None:
            visited.append(handler)
            if len(visited) == 1:
                for reading, _ in pipes[100:150]:
                    reactor.forget(reading)
                for reading, _ in pipes[200:]:
                    reactor.add(reading, Called(), READ)

        for reading, _ in pipes[:200]:
            reactor.add(reading, Called(), READ)
        await reactor.run(reactor.walk(visit))
        assert visited == [handler for handler in reactor.handlers if handler]
    assert len(visited) == 250


async def test_every_beat_calls_back_though_one_callback_raises(logged: list[logging.LogRecord]) -> None:
    beats: list[float] = []
    with closing(Reactor()) as reactor:
        reactor.on_beat(fail)
        reactor.on_beat(lambda: beats.append(reactor.now))
        await once(lambda: len(beats) >= 3)
    assert beats == sorted(beats)
    assert len(logged) >= 3


async def test_the_longest_pause_is_kept(open_pipes: OpenPipes) -> None:
    ((reading, writing),) = open_pipes(1)
    handler = Called(lambda: stall(0.05))
    with closing(Reactor()) as reactor:
        reactor.add(reading, handler, READ | EDGE)
        os.write(writing, b"x")
        await once(lambda: handler.events)
        assert reactor.longest_pause >= 0.05
        longest = reactor.longest_pause
        reactor.noticed_pause(0.01)
        assert reactor.longest_pause == longest
        reactor.noticed_pause(longest + 1)
        assert reactor.longest_pause == longest + 1


async def test_a_pause_outside_the_reactor_is_noticed_by_the_pulse() -> None:
    with closing(Reactor()) as reactor:
        await beat(reactor)
        stall(4 * BEAT)
        await beat(reactor)
        assert reactor.longest_pause >= 2 * BEAT


async def test_what_is_watched_does_not_count_while_the_loop_stands_still() -> None:
    with closing(Reactor()) as reactor:
        await beat(reactor)
        began, before = monotonic(), reactor.watched()
        stall(10 * BEAT)
        standing = reactor.watched()
        assert standing - before <= 2 * BEAT
        await beat(reactor)
        assert reactor.watched() > standing
        assert monotonic() - began - (reactor.watched() - before) >= 8 * BEAT


async def test_a_pause_in_a_beat_is_noticed() -> None:
    stalls = [0.2]
    with closing(Reactor()) as reactor:
        reactor.on_beat(lambda: stall(stalls.pop() if stalls else 0.0))
        await beat(reactor)
        assert reactor.longest_pause >= 0.2


async def test_call_later_calls_once() -> None:
    called: list[float] = []
    with closing(Reactor()) as reactor:
        reactor.call_later(0.001, lambda: called.append(1))
        await once(lambda: called)
        await beat(reactor)
    assert len(called) == 1


async def test_a_closed_reactor_calls_nothing_any_more(open_pipes: OpenPipes) -> None:
    ((reading, writing),) = open_pipes(1)
    handler = Called()
    record: list[str] = []
    reactor = Reactor()
    reactor.add(reading, handler, READ)
    reactor.on_beat(lambda: handler.ready(0))
    reactor.again(handler, READ)
    reactor.start(steps(record, "a", 3))
    reactor.close()
    os.write(writing, b"x")
    with closing(Reactor()) as other:
        for _ in range(3):
            await beat(other)
    assert not handler.events
    assert not record
    assert os.read(reading, 1) == b"x"


async def test_a_closed_reactor_calls_nothing_later() -> None:
    called: list[int] = []
    reactor = Reactor()
    reactor.call_later(0.001, lambda: called.append(1))
    reactor.close()
    with closing(Reactor()) as other:
        await beat(other)
    assert not called
