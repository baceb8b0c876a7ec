"""Tests of lines that come from pipes, files and /dev/null, with a shell and commands behind them."""

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from common.commands import Command, Listing, Registry
from common.errors import SessionerError
from common.limits import Demand
from common.logs import Logs
from common.output import Output
from common.pipe import Pipe
from common.shell import Shell
from common.standard import Standard
from tests.conftest import Run
from tests.support import PATIENCE

CarryOut = Callable[[int], tuple["Console", str]]

# Seconds in which a thread ends whose input has ended.
_SOON = 5


class Console:
    """A pipe console over given descriptors, with the standard commands and two of its own."""

    def __init__(self, reading: int, output: Output, errors: Output) -> None:
        self.said: list[str] = []
        self.shell = Shell()
        self.pipe = Pipe(reading, self.shell, output, errors)
        self.shell.sink = self.pipe
        self.logs = Logs(self.pipe.note)
        standard = Standard(self.shell, self.logs, self.demand).rows()
        say = Command("say", "NAME", "keep a word", self.say)
        spell = Command("spell", "", "list a word until that fails", self.spell)
        self.shell.registry = Registry([say, spell, *standard])

    async def say(self, name: str) -> str:
        if name == "oops":
            raise SessionerError("that is not said")
        self.said.append(name)
        return f"said {name}"

    async def spell(self) -> Listing:
        async def rows() -> AsyncIterator[str]:
            yield "said"
            raise SessionerError("that is not known")

        return Listing("", rows())

    async def demand(self, n: int | None) -> Demand:
        return Demand(sessions=n or 0)


@contextmanager
def files(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Give descriptors of two new files, for the output and for the errors."""
    descriptors = [os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in ("output", "errors")]
    yield descriptors[0], descriptors[1]
    for descriptor in descriptors:
        os.close(descriptor)


@asynccontextmanager
async def console(reading: int, tmp_path: Path) -> AsyncIterator[Console]:
    """Give a console that writes into two files, closed at the end of the block."""
    with files(tmp_path) as (output, errors):
        outputs = Output(output), Output(errors)
        made = Console(reading, *outputs)
        try:
            yield made
        finally:
            made.logs.close()
            for one in outputs:
                one.close(PATIENCE)


@pytest.fixture
def carry_out(run: Run[Any], tmp_path: Path) -> CarryOut:
    """Give a function that carries out what comes from a descriptor, and returns the console and its output."""

    def carry_out_all(reading: int) -> tuple[Console, str]:
        async def scenario() -> Console:
            async with console(reading, tmp_path) as made:
                await made.pipe.run()
            return made

        made = run(scenario())
        return made, (tmp_path / "output").read_text()

    return carry_out_all


@contextmanager
def piped(data: bytes) -> Iterator[tuple[int, int]]:
    """Give both ends of a pipe that holds some data; what is open of it at the end is closed when nobody reads."""
    reading, writing = os.pipe()
    os.write(writing, data)
    try:
        yield reading, writing
    finally:
        os.close(writing)
        join_reader()
        os.close(reading)


def join_reader() -> None:
    """Wait for the thread that reads to end, as it does when its input has ended."""
    for thread in threading.enumerate():
        if thread.name == "input":
            thread.join(_SOON)
            assert not thread.is_alive()


def test_each_line_is_carried_out_in_order(carry_out: CarryOut) -> None:
    with piped(b"say a\nsay b\n\nsay oops\nsay c\nquit\n") as (reading, _):
        made, output = carry_out(reading)
    assert made.said == ["a", "b", "b", "c"]
    assert output == "said a\nsaid b\nsaid b\nsay: that is not said\nsaid c\n"
    assert made.shell.leaving
    assert made.shell.exit_code == 1


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("say oops", "say: that is not said"),
        ("watch say oops 1h", "say: that is not said"),
        ("watch watch say a 1s 1s", "watch: a watch cannot be watched"),
        ("watch bogus 1h", 'watch: there is no command "bogus"; `help` tells of all, `quit` leaves'),
        ("help bogus", 'help: there is no command "bogus"; `help` lists them'),
    ],
)
def test_an_error_begins_with_the_name_of_the_command_that_failed(line: str, shown: str, carry_out: CarryOut) -> None:
    """Whatever it is watched by, and once."""
    with piped(f"{line}\nquit\n".encode()) as (reading, _):
        made, output = carry_out(reading)
    assert output == f"{shown}\n"
    assert made.shell.exit_code


def test_an_error_while_a_listing_is_shown_names_the_command(carry_out: CarryOut) -> None:
    with piped(b"spell\nquit\n") as (reading, _):
        _, output = carry_out(reading)
    assert output == "spell: that is not known\n"


def test_an_empty_line_is_noted_and_logged_as_the_one_that_it_repeats(run: Run[Any], tmp_path: Path) -> None:
    changes: list[str] = []
    log: list[str] = []

    async def scenario() -> None:
        with piped(b"\n say a \nbogus\n\nquit\n") as (reading, _):
            async with console(reading, tmp_path) as made:
                made.shell.changed = lambda line, _: changes.append(line)
                made.logs.write_to(log.append)
                await made.pipe.run()

    run(scenario())
    assert changes == ["say a", "say a", "quit"]
    assert [text.partition("Command: ")[2] for text in log] == [f"{line}\n" for line in changes]


def test_a_watched_quit_leaves_at_once(carry_out: CarryOut) -> None:
    """No further line comes, nor the end of the input."""
    with piped(b"watch quit 1h\n") as (reading, writing):
        made, _ = carry_out(reading)
        os.write(writing, b"say too late\n")
    assert (made.shell.leaving, made.said) == (True, [])


def test_a_file_is_read_to_its_end_with_a_last_line_that_lacks_its_end(carry_out: CarryOut, tmp_path: Path) -> None:
    (tmp_path / "input").write_text("say a\r\nsay b\nsay c")
    reading = os.open(tmp_path / "input", os.O_RDONLY)
    made, _ = carry_out(reading)
    join_reader()
    os.close(reading)
    assert made.said == ["a", "b", "c"]
    assert not made.shell.leaving


@pytest.mark.parametrize("path", ["/dev/null", "/"])
def test_input_that_has_nothing_or_cannot_be_read_ends_at_once(carry_out: CarryOut, path: str) -> None:
    reading = os.open(path, os.O_RDONLY)
    made, output = carry_out(reading)
    join_reader()
    os.close(reading)
    assert (made.said, output, made.shell.exit_code) == ([], "", 0)


def test_bytes_that_are_no_text_are_an_unknown_command(carry_out: CarryOut) -> None:
    with piped(b"\xff\xfe\x00\nsay a\nquit\n") as (reading, _):
        made, output = carry_out(reading)
    assert made.said == ["a"]
    assert output.startswith('Unknown command "\ufffd\ufffd\0", valid commands are:\n  say ')


def test_an_empty_line_before_any_other_does_nothing(carry_out: CarryOut) -> None:
    with piped(b"\n   \n\nsay a\nquit\n") as (reading, _):
        made, output = carry_out(reading)
    assert made.said == ["a"]
    assert output == "said a\n"


def test_a_long_line_arrives_whole(carry_out: CarryOut, tmp_path: Path) -> None:
    word = "x" * 200_000
    (tmp_path / "input").write_text(f"say {word}\n")
    reading = os.open(tmp_path / "input", os.O_RDONLY)
    made, _ = carry_out(reading)
    join_reader()
    os.close(reading)
    assert made.said == [word]


def test_watching_ends_with_the_next_line(carry_out: CarryOut) -> None:
    with piped(b"watch say w 1h\nsay a\nquit\n") as (reading, _):
        made, _ = carry_out(reading)
    assert made.said == ["w", "a"]


def test_watching_ends_with_the_next_line_however_many_were_sent_at_once(carry_out: CarryOut) -> None:
    with piped(b"sleep 50ms\nwatch say w 1h\nsay a\nwatch say v 1h\nsay b\nquit\n") as (reading, _):
        made, _ = carry_out(reading)
    assert made.said == ["w", "a", "v", "b"]


def test_a_line_to_watch_is_repeated(carry_out: CarryOut) -> None:
    with piped(b"watch say w 1ms\n") as (reading, writing):
        threading.Timer(0.1, os.write, (writing, b"quit\n")).start()
        made, _ = carry_out(reading)
    assert made.said[:2] == ["w", "w"]


def test_lines_behind_quit_are_dropped_in_silence(carry_out: CarryOut) -> None:
    with piped(b"say a\nquit\n" + 100 * b"say b\n") as (reading, _):
        made, output = carry_out(reading)
    assert made.said == ["a"]
    assert output == "said a\n"


def test_a_line_long_after_quit_is_dropped_in_silence(carry_out: CarryOut) -> None:
    with piped(b"say a\nquit\n") as (reading, writing):
        made, output = carry_out(reading)
        os.write(writing, b"say b\n")
    assert made.said == ["a"]
    assert output == "said a\n"
