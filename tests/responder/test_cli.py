"""Tests of the responder's command line."""

from pathlib import Path

import pytest

from common.addresses import Endpoint
from common.keepalive import Keepalive
from common.table import DEFAULT_HASHSIZE
from responder.cli import Options, parse_options
from responder.settings import BACKLOG, Settings, Tls
from tests.command_lines import PROCESS, options_of, refusal
from tests.tls import Certificates

LISTEN = ["--listen", "10.0.0.1:5000"]
ENDPOINT = Endpoint("10.0.0.1", 5000, 5000)

SETTINGS = [
    (["-s", "5"], Settings(hashsize=5)),
    (["--hashsize", "100k"], Settings(hashsize=100_000)),
    (["--backlog", "1k"], Settings(backlog=1_000)),
    (["--keepalive", "1m"], Settings(keepalive=Keepalive(60))),
    (["--keepalive", "1m,10s,5"], Settings(keepalive=Keepalive(60, 10, 5))),
    (["--hashsize", "1", "--backlog", "1"], Settings(hashsize=1, backlog=1)),
    (["--message", "hello"], Settings(message=b"hello")),
    (["--message", "gr\u00fc\u00df\udcff"], Settings(message=b"gr\xc3\xbc\xc3\x9f\xff")),
    (["--message", "a", "--message-rate", "0.5"], Settings(message=b"a", message_rate=0.5)),
    (["--message", "a", "--message-rate", "1.5k"], Settings(message=b"a", message_rate=1500.0)),
    (["--content", "/dev/null"], Settings(content=b"")),
    (["--nagle", "on"], Settings(nagle=True)),
    (["--nagle", "off"], Settings(nagle=False)),
    (["--rcvbuf", "64k"], Settings(rcvbuf=65_536)),
    (["--sndbuf", "4m"], Settings(sndbuf=4 << 20)),
    (["--dscp", "46"], Settings(dscp=46)),
    (["--marker"], Settings(marker=True)),
]

# What decides the listeners and their modes, or names a file; tested by itself.
OTHERS = {"-l", "--listen", "--mode", "--tls-cert", "--tls-key", "-h", "--help"}
OTHERS |= {"--attach", "--statsd", "--statsd-namespace", "--statsd-window", "--prometheus"}


def parse(*arguments: str) -> Options:
    """Return what a command line with a listener asks for."""
    return parse_options([*LISTEN, *arguments])


def test_a_listener_is_all_that_is_needed() -> None:
    """Without any other option everything is as the help says."""
    options = parse()
    assert options.listen == [(ENDPOINT, "echo")]
    assert options.settings.mode == "echo"
    assert options.settings == Settings(DEFAULT_HASHSIZE, BACKLOG)


@pytest.mark.parametrize(("arguments", "settings"), SETTINGS)
def test_an_option_changes_its_setting_alone(arguments: list[str], settings: Settings) -> None:
    """Each option sets what its name says, and nothing else."""
    assert parse(*arguments).settings == settings


def test_no_option_goes_untested(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option that the help shows, short and long, is in one of the tables here."""
    monkeypatch.setenv("COLUMNS", "200")
    given = [arguments for arguments, *_ in SETTINGS] + [arguments for arguments, *_ in PROCESS]
    tested = {word for arguments in given for word in arguments if word.startswith("-")}
    assert options_of(parse_options, capsys) == tested | OTHERS


@pytest.mark.parametrize("flag", ["-l", "--listen"])
def test_listeners_may_be_given_at_once_or_one_by_one(flag: str) -> None:
    """Several listeners may follow one option, and the option may be repeated."""
    options = parse_options([flag, "10.0.0.1:5000-5999", "[::]:80", flag, "localhost:7"])
    endpoints = [Endpoint("10.0.0.1", 5000, 5999), Endpoint("::", 80, 80), Endpoint("localhost", 7, 7)]
    assert options.listen == [(endpoint, "echo") for endpoint in endpoints]


def test_a_mode_is_for_the_listeners_after_it() -> None:
    """Each listener has the mode that was said last before it; the last one is that of listeners added later."""
    line = (
        "-l a:1 --mode sink -l b:2 c:3 --mode echo -l d:4 --mode active --mode serve --listen e:5 --mode active"
        " --message x --content /dev/null"
    )
    options = parse_options(line.split())
    assert [(endpoint.host, mode) for endpoint, mode in options.listen] == [
        ("a", "echo"),
        ("b", "sink"),
        ("c", "sink"),
        ("d", "echo"),
        ("e", "serve"),
    ]
    assert options.settings.mode == "active"


def test_the_content_is_all_of_the_file(tmp_path: Path) -> None:
    """What is in the file is taken byte for byte."""
    data = bytes(range(256)) * 1000
    (tmp_path / "content").write_bytes(data)
    assert parse("--mode", "serve", "--content", str(tmp_path / "content")).settings.content == data


def test_a_certificate_and_its_key_are_taken_by_name(certificates: Certificates) -> None:
    """That they can be used has been seen by then; both may be in one file."""
    cert, key, both = certificates.cert, certificates.key, certificates.both
    assert parse("--tls-cert", cert, "--tls-key", key).settings.tls == Tls(cert, key)
    assert parse("--tls-cert", both).settings.tls == Tls(both, both)


def test_a_key_that_does_not_belong_to_the_certificate_is_refused(
    capsys: pytest.CaptureFixture[str], certificates: Certificates
) -> None:
    """A key of another certificate, and one with a password, which nobody is asked for."""
    for key, named in ((certificates.wrong, "key values mismatch"), (certificates.locked, "has a password")):
        assert named in refusal(parse_options, capsys, *LISTEN, "--tls-cert", certificates.cert, "--tls-key", key)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    ("mode", "named"),
    [("active", "mode active has nothing to send: start"), ("serve", "mode serve has nothing to answer: start")],
)
def test_a_mode_without_what_it_needs_is_refused(
    capsys: pytest.CaptureFixture[str], mode: str, named: str, place: str
) -> None:
    """It is refused even where it is only for listeners added later."""
    words = ["--mode", mode]
    assert named in refusal(parse_options, capsys, *([*words, *LISTEN] if place == "before" else [*LISTEN, *words]))


def test_a_hashsize_is_for_all_listeners_wherever_it_stands() -> None:
    """There is one table of all clients."""
    for arguments in (["-s", "5", *LISTEN], [*LISTEN, "-s", "5"]):
        assert parse_options(arguments).settings.hashsize == 5


def test_one_parsing_leaves_nothing_to_the_next() -> None:
    """Listeners are gathered anew each time."""
    parse("--listen", "10.0.0.2:1")
    assert parse().listen == [(ENDPOINT, "echo")]


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
        (["--mode", "discard"], "'discard'"),
        (["--mode"], "--mode"),
        (["--message", ""], "--message: there is no message"),
        (["--message-rate", "0"], '"0" is not a number above 0'),
        (["--message-rate", "0.0001"], '"0.0001" is too small'),
        (["--message-rate", "-1"], "--message-rate"),
        (["--message-rate", "5"], "--message-rate needs --message TEXT"),
        (["--content", "/nowhere/at/all"], "file /nowhere/at/all cannot be read: No such file"),
        (["--content", "/"], "file / cannot be read: Is a directory"),
        (["--nagle", "maybe"], "'maybe'"),
        (["--rcvbuf", "0"], '"0" is not a size'),
        (["--sndbuf", "1.5k"], '"1.5k" is not a size'),
        (["--dscp", "64"], '"64" is too large'),
        (["--dscp", "EF"], '"EF" is not a whole number'),
        (["--tls-key", "server.key"], "--tls-key needs --tls-cert FILE"),
        (["--tls-cert", "/none/server.pem"], "no certificate and its key in /none/server.pem and /none/server.pem"),
        (["--tls-cert", "/dev/null", "--tls-key", "/none"], "no certificate and its key in /dev/null and /none"),
        (["--tls-cert", ""], "no certificate and its key in"),
        (["--target", "a:1"], "--target"),
        (["--lis", "a:1"], "--lis"),
        (["-x"], "-x"),
    ],
)
def test_a_wrong_value_ends_the_process_with_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    """What is wrong is named in one line on standard error, and the exit code is that of wrong usage."""
    assert named in refusal(parse_options, capsys, *LISTEN, *arguments)


def test_without_a_listener_the_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to accept sessions on."""
    assert "-l/--listen" in refusal(parse_options, capsys, "--debug")


def test_an_argument_without_an_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An address alone is not taken for a listener."""
    assert "10.0.0.1:80" in refusal(parse_options, capsys, "10.0.0.1:80", *LISTEN)
