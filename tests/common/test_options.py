"""Tests of the options that both daemons have."""

import argparse
from pathlib import Path

import pytest

from common.errors import SessionerError, UsageError
from common.options import Parser, Process, add_process_options, option, process_of

PLAIN = Process(execute=[], script=None, no_prompt=False, log=None, debug=False, no_ulimit=False, loop="uvloop")


def parser() -> Parser:
    """Return a parser of the options that both daemons have."""
    made = Parser("sessioner_test", "Test.")
    add_process_options(made)
    return made


def parse(*arguments: str) -> Process:
    """Return the process that options describe."""
    return process_of(parser().parse_args(arguments))


def refusal(capsys: pytest.CaptureFixture[str], made: Parser, *arguments: str) -> str:
    """Return the one line that wrong options are refused with."""
    with pytest.raises(SystemExit) as end:
        made.parse_args(arguments)
    assert end.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    (line,) = errors.splitlines()
    return line


def test_without_options_a_process_is_plain() -> None:
    """By default nothing is run, logged or switched."""
    assert parse() == PLAIN


@pytest.mark.parametrize(
    ("arguments", "process"),
    [
        (["-d"], {"debug": True}),
        (["--debug"], {"debug": True}),
        (["-u"], {"no_ulimit": True}),
        (["--no-ulimit"], {"no_ulimit": True}),
        (["-du"], {"debug": True, "no_ulimit": True}),
        (["--exec", "set 5"], {"execute": ["set 5"]}),
        (["--exec", "set 5", "--exec", "wait held"], {"execute": ["set 5", "wait held"]}),
        (["--exec=status --json"], {"execute": ["status --json"]}),
        (["--script", "a/b.txt"], {"script": Path("a/b.txt")}),
        (["--no-prompt"], {"no_prompt": True}),
        (["--log", "/tmp/x.log"], {"log": Path("/tmp/x.log")}),
        (["--loop", "asyncio"], {"loop": "asyncio"}),
        (["--loop", "uvloop"], {"loop": "uvloop"}),
    ],
)
def test_an_option_changes_what_it_says(arguments: list[str], process: dict[str, object]) -> None:
    """Each option, short or long, changes one thing about the process."""
    changed = parse(*arguments)
    assert {name: getattr(changed, name) for name in Process.__slots__} == {
        **{name: getattr(PLAIN, name) for name in Process.__slots__},
        **process,
    }


def test_what_one_parsing_gathers_is_not_in_the_next() -> None:
    """Commands given once are not kept for another parsing by the same parser."""
    made = parser()
    made.parse_args(["--exec", "a"])
    assert process_of(made.parse_args([])).execute == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--junk"], "--junk"),
        (["junk"], "junk"),
        (["--deb"], "--deb"),
        (["--no-prom"], "--no-prom"),
        (["--loop", "select"], "'select'"),
        (["--exec"], "--exec"),
        (["--script"], "--script"),
        (["--log"], "--log"),
        (["--debug=yes"], "--debug"),
        (["-x"], "-x"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    """What is wrong is named, shortened options are not guessed, and the exit code is that of wrong usage."""
    line = refusal(capsys, parser(), *arguments)
    assert line.startswith("sessioner_test: ")
    assert named in line
    assert line.endswith(" (--help shows the options)")


@pytest.mark.parametrize("error", [UsageError, SessionerError])
def test_a_value_that_is_refused_is_told_as_its_parser_told_it(
    capsys: pytest.CaptureFixture[str], error: type[SessionerError]
) -> None:
    """The text of the error that a value's parser raises is shown as it is, with the option's name."""

    def refuse(text: str) -> str:
        raise error(f'"{text}" is 100% wrong')

    made = parser()
    made.add_argument("--value", type=option(refuse))
    line = refusal(capsys, made, "--value", "it")
    assert line == 'sessioner_test: argument --value: "it" is 100% wrong (--help shows the options)'


def test_a_value_that_is_taken_is_what_its_parser_returns() -> None:
    """A value goes through its parser once."""
    made = Parser("sessioner_test", "Test.")
    made.add_argument("--value", type=option(int))
    assert made.parse_args(["--value", "7"]) == argparse.Namespace(value=7)


def test_help_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Help goes to standard output, and ends the process well."""
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["--help"])
    assert not end.value.code
    output, errors = capsys.readouterr()
    assert errors == ""
    for name in ("--debug", "--no-ulimit", "--exec", "--script", "--no-prompt", "--log", "--loop"):
        assert f"  {name}" in output or f", {name}" in output
