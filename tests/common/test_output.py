"""Tests of text on its way to descriptors that are read, not read, or read no more."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from common.output import Output
from tests.support import PATIENCE

pytestmark = pytest.mark.usefixtures("run")

# More than the queue and a pipe take together.
MUCH = "0123456789abcde\n" * 20_000


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Give the reading and the writing end of a pipe, and close what is still open of it when no thread writes."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        os.close(ends[0])
        for thread in threading.enumerate():
            if thread.name == "output":
                thread.join(PATIENCE)
        os.close(ends[1])


def read_all(descriptor: int, count: int) -> str:
    """Read so many bytes."""
    data = b""
    while len(data) < count:
        data += os.read(descriptor, count - len(data))
    return data.decode()


async def test_texts_arrive_whole_and_in_order() -> None:
    with pipe() as (reading, writing):
        output = Output(writing)
        for text in ("first\n", "", "zweite: ä\n", "third\n"):
            output.write(text)
        assert not output.full
        output.close(PATIENCE)
        assert os.read(reading, 100).decode() == "first\nzweite: ä\nthird\n"


async def test_what_has_no_encoding_is_replaced() -> None:
    with pipe() as (reading, writing):
        output = Output(writing)
        output.write("a\udcffb\n")
        output.close(PATIENCE)
        assert os.read(reading, 100) == b"a?b\n"


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_long_text_arrives_whole(blocking: bool) -> None:
    with pipe() as (reading, writing):
        os.set_blocking(writing, blocking)
        output = Output(writing)
        output.write(MUCH)
        assert await asyncio.to_thread(read_all, reading, len(MUCH)) == MUCH
        output.close(PATIENCE)


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_pipe_that_nobody_reads_holds_nobody_up(blocking: bool) -> None:
    with pipe() as (reading, writing):
        os.set_blocking(writing, blocking)
        output = Output(writing)
        output.write(MUCH)
        assert [output.draw("lost\n") for _ in range(3)] == [False] * 3
        assert output.full
        output.write(MUCH)
        room = asyncio.create_task(output.room())
        assert not (await asyncio.wait([room], timeout=0.05))[0]
        assert await asyncio.to_thread(read_all, reading, 2 * len(MUCH)) == 2 * MUCH
        await room
        assert output.draw("taken\n")
        output.close(PATIENCE)
        assert os.read(reading, 100) == b"taken\n"
        assert not output.full


@pytest.mark.parametrize("more", [["taken\n", "and this\n"], []])
async def test_how_many_lines_were_left_out_is_said_when_there_is_room(more: list[str]) -> None:
    """Before the next ones, or at the end."""
    with pipe() as (reading, writing):
        output = Output(writing)
        output.write(MUCH)
        for text in ("lost\n", "lost\nas well\n"):
            output.note(text)
        assert await asyncio.to_thread(read_all, reading, len(MUCH)) == MUCH
        await output.room()
        for text in more:
            output.note(text)
        output.close(PATIENCE)
        said = "(3 lines were left out, as they were not taken in time)\n"
        assert os.read(reading, 200).decode() == said + "".join(more)


async def test_there_is_room_as_long_as_little_is_queued() -> None:
    with pipe() as (_, writing):
        output = Output(writing)
        await output.room()
        output.write("little\n")
        await output.room()
        output.close(PATIENCE)


async def test_closing_waits_no_longer_than_it_may() -> None:
    with pipe() as (reading, writing):
        output = Output(writing)
        output.write(MUCH)
        output.close(0.01)
        assert output.full
        assert read_all(reading, 100) == MUCH[:100]


async def test_closing_writes_what_is_queued() -> None:
    with pipe() as (reading, writing):
        output = Output(writing)
        output.write(MUCH)
        closing = asyncio.to_thread(output.close, PATIENCE)
        text, _ = await asyncio.gather(asyncio.to_thread(read_all, reading, len(MUCH)), closing)
        assert text == MUCH


async def test_a_broken_pipe_takes_everything_and_keeps_nothing() -> None:
    with pipe() as (reading, writing):
        other = os.dup(writing)
        os.close(reading)
        output = Output(writing)
        output.write(MUCH)
        output.write(MUCH)
        await output.room()
        assert output.draw("more\n")
        output.close(PATIENCE)
        assert not output.full
        os.dup2(other, reading)
        os.close(other)


async def test_a_reader_that_goes_away_lets_go_of_the_writer() -> None:
    reading, writing = os.pipe()
    output = Output(writing)
    output.write(MUCH)
    assert read_all(reading, 10) == MUCH[:10]
    os.close(reading)
    await output.room()
    output.close(PATIENCE)
    os.close(writing)


async def test_a_closed_descriptor_is_as_a_broken_pipe() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    output = Output(writing)
    output.write("text\n")
    output.close(PATIENCE)
    assert not output.full
