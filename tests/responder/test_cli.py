"""Tests of the responder's command line."""

import re
from pathlib import Path

import pytest

from common.addresses import Endpoint
from common.keepalive import Keepalive
from common.table import DEFAULT_HASHSIZE
from responder.cli import Options, parse_options
from responder.settings import BACKLOG, Settings

LISTEN = ["--listen", "10.0.0.1:5000"]
ENDPOINT = Endpoint("10.0.0.1", 5000, 5000)

SETTINGS = [
    (["-s", "5"], Settings(hashsize=5)),
    (["--hashsize", "100k"], Settings(hashsize=100_000)),
    (["--backlog", "1k"], Settings(backlog=1_000)),
    (["--keepalive", "1m"], Settings(keepalive=Keepalive(60))),
    (["--keepalive", "1m,10s,5"], Settings(keepalive=Keepalive(60, 10, 5))),
    (["--hashsize", "1", "--backlog", "1"], Settings(hashsize=1, backlog=1)),
]

PROCESS: list[tuple[list[str], str, object]] = [
    (["-d"], "debug", True),
    (["--debug"], "debug", True),
    (["-u"], "no_ulimit", True),
    (["--no-ulimit"], "no_ulimit", True),
    (["--exec", "status", "--exec", "wait clients 5"], "execute", ["status", "wait clients 5"]),
    (["--script", "run.txt"], "script", Path("run.txt")),
    (["--no-prompt"], "no_prompt", True),
    (["--log", "run.log"], "log", Path("run.log")),
    (["--loop", "asyncio"], "loop", "asyncio"),
]

# What decides the listeners; tested by itself.
OTHERS = {"-l", "--listen", "-h", "--help"}


def parse(*arguments: str) -> Options:
    """Return what a command line with a listener asks for."""
    return parse_options([*LISTEN, *arguments])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that a command line is refused with."""
    with pytest.raises(SystemExit) as end:
        parse_options(arguments)
    assert end.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    (line,) = errors.splitlines()
    assert line.startswith("sessioner_responder: ")
    return line


def test_a_listener_is_all_that_is_needed() -> None:
    """Without any other option everything is as the help says."""
    options = parse()
    assert options.listen == [ENDPOINT]
    assert options.settings == Settings(DEFAULT_HASHSIZE, BACKLOG)


@pytest.mark.parametrize(("arguments", "settings"), SETTINGS)
def test_an_option_changes_its_setting_alone(arguments: list[str], settings: Settings) -> None:
    """Each option sets what its name says, and nothing else."""
    assert parse(*arguments).settings == settings


@pytest.mark.parametrize(("arguments", "name", "value"), PROCESS)
def test_an_option_of_the_process_is_taken(arguments: list[str], name: str, value: object) -> None:
    """The options that both daemons have work here."""
    assert getattr(parse(*arguments).process, name) == value


def test_no_option_goes_untested(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option that the help shows, short and long, is in one of the tables here."""
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        parse_options(["--help"])
    assert not end.value.code
    shown = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out.partition("options:")[2]))
    given = [arguments for arguments, *_ in SETTINGS] + [arguments for arguments, *_ in PROCESS]
    tested = {word for arguments in given for word in arguments if word.startswith("-")}
    assert shown == tested | OTHERS


@pytest.mark.parametrize("flag", ["-l", "--listen"])
def test_listeners_may_be_given_at_once_or_one_by_one(flag: str) -> None:
    """Several listeners may follow one option, and the option may be repeated."""
    options = parse_options([flag, "10.0.0.1:5000-5999", "[::]:80", flag, "localhost:7"])
    assert options.listen == [Endpoint("10.0.0.1", 5000, 5999), Endpoint("::", 80, 80), Endpoint("localhost", 7, 7)]


def test_a_hashsize_is_for_all_listeners_wherever_it_stands() -> None:
    """There is one table of all clients."""
    for arguments in (["-s", "5", *LISTEN], [*LISTEN, "-s", "5"]):
        assert parse_options(arguments).settings.hashsize == 5


def test_one_parsing_leaves_nothing_to_the_next() -> None:
    """Listeners are gathered anew each time."""
    parse("--listen", "10.0.0.2:1")
    assert parse().listen == [ENDPOINT]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--listen"], "--listen"),
        (["-l", "1.2.3.4"], '"1.2.3.4": no port'),
        (["-l", "1.2.3.4:0"], '"1.2.3.4:0": ports go from 1'),
        (["-l", ":80"], '":80": no address'),
        (["-l", "a:9-3"], '"a:9-3": the range of ports ends before it begins'),
        (["-l", "x:70000"], '"x:70000": ports go from 1'),
        (["-l", "[::1:80"], '"[::1:80": not an address and a port'),
        (["-s", "0"], '"0" is too small'),
        (["--hashsize", "many"], '"many" is not a whole number'),
        (["--backlog", "0"], '"0" is too small'),
        (["--backlog", "1.5"], '"1.5" is not a whole number'),
        (["--backlog"], "--backlog"),
        (["--keepalive", "60s,10s"], '"60s,10s" is not IDLE'),
        (["--loop", "select"], "'select'"),
        (["--target", "a:1"], "--target"),
        (["--lis", "a:1"], "--lis"),
        (["-x"], "-x"),
    ],
)
def test_a_wrong_value_ends_the_process_with_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    """What is wrong is named in one line on standard error, and the exit code is that of wrong usage."""
    assert named in refusal(capsys, *LISTEN, *arguments)


def test_without_a_listener_the_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to accept sessions on."""
    assert "-l/--listen" in refusal(capsys, "--debug")


def test_an_argument_without_an_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An address alone is not taken for a listener."""
    assert "10.0.0.1:80" in refusal(capsys, "10.0.0.1:80", *LISTEN)
