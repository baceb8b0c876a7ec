"""Tests of the initiator's command line."""

from dataclasses import replace

import pytest

from common.addresses import Endpoint
from common.errors import UsageError
from common.exporters.settings import Exporters
from common.keepalive import Keepalive, parse_keepalive
from initiator.cli import Options, parse_options
from initiator.settings import CONNECT_TIMEOUT, PING_TIMEOUT, Settings, Tls
from tests.command_lines import PROCESS, options_of, refusal
from tests.tls import Certificates

TARGET = ["--target", "10.0.0.1:5000"]
ENDPOINT = Endpoint("10.0.0.1", 5000, 5000)
PLAIN = Settings(seed=7)

SETTINGS: list[tuple[list[str], dict[str, object]]] = [
    (["-p"], {"ping": True}),
    (["--ping"], {"ping": True}),
    (["--ping-timeout", "500ms"], {"ping_timeout": 0.5}),
    (["--connect-timeout", "1m"], {"connect_timeout": 60.0}),
    (["--connect-rate", "10k"], {"connect_rate": 10_000}),
    (["--connect-rate", "0.5"], {"connect_rate": 0.5}),
    (["--source-ip", "10.0.0.7"], {"source_ips": ("10.0.0.7",)}),
    (["--source-ip", "10.0.0.7-8", "10.0.1.1"], {"source_ips": ("10.0.0.7", "10.0.0.8", "10.0.1.1")}),
    (["--source-ip", "10.0.0.9", "--source-ip", "::1"], {"source_ips": ("10.0.0.9", "::1")}),
    (["--interface", "eth0"], {"interface": "eth0"}),
    (["--keepalive", "60s"], {"keepalive": Keepalive(60)}),
    (["--keepalive", "1m,10s,5"], {"keepalive": Keepalive(60, 10, 5)}),
    (["--nagle", "on"], {"nagle": True}),
    (["--nagle", "off"], {"nagle": False}),
    (["--rcvbuf", "64k"], {"rcvbuf": 65_536}),
    (["--sndbuf", "4m"], {"sndbuf": 4 << 20}),
    (["--dscp", "46"], {"dscp": 46}),
    (["--seed", "42"], {"seed": 42}),
    (["--tls"], {"tls": Tls()}),
    (["--tls", "--tls-name", "www.example.com"], {"tls": Tls(name="www.example.com")}),
    (["--tls", "--tls-name", "192.0.2.1", "--tls-insecure"], {"tls": Tls(None, "192.0.2.1", verify=False)}),
]

# What decides the targets, or names a file; tested by itself, as are the exporters, in tests/common/exporters.
OTHERS = {"-t", "--target", "-s", "--hashsize", "--loopback", "--tls-ca", "-h", "--help"}
OTHERS |= {"--attach", "--statsd", "--statsd-namespace", "--statsd-window", "--prometheus"}


def parse(*arguments: str) -> Options:
    """Return what a command line with a target asks for."""
    return parse_options([*TARGET, *arguments])


def test_a_target_is_all_that_is_needed() -> None:
    """Without any other option everything is as the help says."""
    options = parse("--seed", "7")
    assert options.targets == [(ENDPOINT, None)]
    assert (options.hashsize, options.loopback) == (None, False)
    assert options.settings == PLAIN
    assert options.exporters == Exporters()
    assert (PLAIN.connect_timeout, PLAIN.ping_timeout) == (CONNECT_TIMEOUT, PING_TIMEOUT)


@pytest.mark.parametrize(("arguments", "settings"), SETTINGS)
def test_an_option_changes_its_setting_alone(arguments: list[str], settings: dict[str, object]) -> None:
    """Each option sets what its name says, and nothing else."""
    assert parse("--seed", "7", *arguments).settings == replace(PLAIN, **settings)  # type: ignore[arg-type]


def test_no_option_goes_untested(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option that the help shows, short and long, is in one of the tables here."""
    monkeypatch.setenv("COLUMNS", "200")
    given = [arguments for arguments, *_ in SETTINGS] + [arguments for arguments, *_ in PROCESS]
    tested = {word for arguments in given for word in arguments if word.startswith("-")}
    assert options_of(parse_options, capsys) == tested | OTHERS


@pytest.mark.parametrize("flag", ["-t", "--target"])
def test_targets_may_be_given_at_once_or_one_by_one(flag: str) -> None:
    """Several targets may follow one option, and the option may be repeated."""
    options = parse_options([flag, "10.0.0.1:5000-5999", "[::1]:80", flag, "localhost:7"])
    wanted = [Endpoint("10.0.0.1", 5000, 5999), Endpoint("::1", 80, 80), Endpoint("localhost", 7, 7)]
    assert options.targets == [(endpoint, None) for endpoint in wanted]


@pytest.mark.parametrize("flag", ["-s", "--hashsize"])
def test_a_hashsize_is_for_the_targets_after_it(flag: str) -> None:
    """Targets before the first hashsize have none of their own, and the last one is for targets added later too."""
    arguments = ["-t", "a:1", flag, "5", "-t", "b:1", "c:1", "-t", "d:1", flag, "1k", "-t", "e:1"]
    options = parse_options(arguments)
    assert [(endpoint.host, size) for endpoint, size in options.targets] == [
        ("a", None),
        ("b", 5),
        ("c", 5),
        ("d", 5),
        ("e", 1_000),
    ]
    assert options.hashsize == 1_000


def test_a_hashsize_behind_all_targets_is_for_those_added_later() -> None:
    """A hashsize at the end changes no target of the command line."""
    options = parse("--hashsize", "5")
    assert (options.targets, options.hashsize) == ([(ENDPOINT, None)], 5)


def test_one_parsing_leaves_nothing_to_the_next() -> None:
    """Targets and source addresses are gathered anew each time."""
    parse("--source-ip", "10.0.0.7")
    options = parse()
    assert options.targets == [(ENDPOINT, None)]
    assert options.settings.source_ips == ()


def test_the_loopback_needs_no_target() -> None:
    """A first try needs nothing but --loopback, and may name its targets."""
    assert parse_options(["--loopback"]).targets == []
    options = parse("--loopback")
    assert (options.loopback, options.targets) == (True, [(ENDPOINT, None)])


def test_a_seed_is_drawn_where_none_is_given() -> None:
    """A run that was not given a seed has one all the same, so that it can be repeated."""
    seeds = {parse().settings.seed for _ in range(8)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_any_seed_is_taken_as_it_is() -> None:
    """A seed of 64 bits, and a seed of none, are seeds."""
    for seed in (0, 2**32, 2**64 - 1):
        assert parse("--seed", str(seed)).settings.seed == seed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--target"], "--target"),
        (["-t", "1.2.3.4"], '"1.2.3.4": no port'),
        (["-t", "1.2.3.4:0"], '"1.2.3.4:0": ports go from 1'),
        (["-t", ":80"], '":80": no address'),
        (["-t", "a:9-3"], '"a:9-3": the range of ports ends before it begins'),
        (["-t", "x:70000"], '"x:70000": ports go from 1'),
        (["-t", "a:1", "junk"], '"junk": no port'),
        (["-s", "0"], '"0" is too small'),
        (["-s", "many"], '"many" is not a whole number'),
        (["--hashsize", "-5"], "--hashsize"),
        (["--ping-timeout", "0"], '"0" is no time at all'),
        (["--ping-timeout", "soon"], '"soon" is not a time'),
        (["--connect-timeout", "0s"], '"0s" is no time at all'),
        (["--connect-timeout", "5x"], '"5x" is not a time'),
        (["--connect-rate", "0"], '"0" is not a number above 0'),
        (["--connect-rate", "-1.5"], "--connect-rate"),
        (["--source-ip", "10.0.0"], 'bad source address "10.0.0"'),
        (["--source-ip", "10.0.0.9-7"], 'bad source address "10.0.0.9-7"'),
        (["--source-ip"], "--source-ip"),
        (["--interface"], "--interface"),
        (["--keepalive", "60s,10s"], '"60s,10s" is not IDLE'),
        (["--keepalive", "0"], '"0": keepalive takes whole seconds'),
        (["--seed", "-1"], "--seed"),
        (["--seed", "x"], '"x" is not a whole number'),
        (["--loop", "select"], "'select'"),
        (["--tls-ca", "ca.pem"], "--tls-ca needs --tls"),
        (["--tls-name", "www.example.com"], "--tls-name needs --tls"),
        (["--tls-insecure"], "--tls-insecure needs --tls"),
        (["--tls", "--tls-name", ""], "--tls-name: that is no name of a server"),
        (["--tls", "--tls-name", "a..b"], "--tls-name: that is no name of a server"),
        (["--tls", "--tls-ca", "/none/ca.pem"], "file /none/ca.pem cannot be used"),
        (["--tls", "--tls-ca", ""], "file  cannot be used"),
        (["--tls", "--tls-ca", "/dev/null"], "file /dev/null cannot be used"),
        (["--tls", "--tls-ca", "/none/ca.pem", "--tls-insecure"], "leave out --tls-ca with --tls-insecure"),
        (["--tls", "--loopback"], "leave out --tls with --loopback"),
        (["--junk"], "--junk"),
        (["--pin"], "--pin"),
        (["--targ", "a:1"], "--targ"),
        (["-x"], "-x"),
    ],
)
def test_a_wrong_value_ends_the_process_with_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    """What is wrong is named in one line on standard error, and the exit code is that of wrong usage."""
    assert named in refusal(parse_options, capsys, *TARGET, *arguments)


def test_a_file_with_authorities_is_taken_by_name(certificates: Certificates) -> None:
    """That it can be used has been seen by then; it is read when sessions are to be opened."""
    assert parse("--tls", "--tls-ca", certificates.ca).settings.tls == Tls(certificates.ca)


@pytest.mark.parametrize("arguments", [[], ["--ping"]])
def test_without_a_target_the_remedy_is_told(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Where there is nothing to hold sessions to, the line that says so names both ways out."""
    line = refusal(parse_options, capsys, *arguments)
    assert "no target: give --target ADDR:PORT[-PORT], or --loopback" in line


def test_an_argument_without_an_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """An address alone is not taken for a target."""
    assert "10.0.0.1:80" in refusal(parse_options, capsys, "10.0.0.1:80", "--loopback")


@pytest.mark.parametrize("option", ["--ping-timeout", "--connect-timeout", "--keepalive"])
def test_a_time_past_every_number_is_refused(capsys: pytest.CaptureFixture[str], option: str) -> None:
    """A time of hundreds of digits is refused like any other wrong one."""
    assert option in refusal(parse_options, capsys, *TARGET, option, "9" * 400)


@pytest.mark.parametrize(
    ("text", "keepalive"),
    [
        ("1", Keepalive(1)),
        ("60s", Keepalive(60)),
        ("1m30s", Keepalive(90)),
        ("2h", Keepalive(7_200)),
        ("60s,10s,5", Keepalive(60, 10, 5)),
        ("1m,1,1", Keepalive(60, 1, 1)),
        ("32767,32767,127", Keepalive(32_767, 32_767, 127)),
    ],
)
def test_keepalive_is_idle_alone_or_all_three(text: str, keepalive: Keepalive) -> None:
    """Where the time between probes and their number are not given, the kernel's own hold."""
    assert parse_keepalive(text) == keepalive


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not a time"),
        ("x", "is not a time"),
        ("60s,10s", "is not IDLE or IDLE,INTERVAL,COUNT"),
        ("60s,10s,5,1", "is not IDLE or IDLE,INTERVAL,COUNT"),
        ("60s,10s,", "is not a whole number"),
        ("60s,,5", "is not a time"),
        ("60s,10s,0", "is too small"),
        ("500ms", "keepalive takes whole seconds, from 1 to 32767"),
        ("1.5", "keepalive takes whole seconds, from 1 to 32767"),
        ("60s,500ms,5", "keepalive takes whole seconds, from 1 to 32767"),
    ],
)
def test_wrong_keepalive_is_refused(text: str, why: str) -> None:
    """The kernel counts keepalive in whole seconds and whole probes."""
    with pytest.raises(UsageError, match=why):
        parse_keepalive(text)


@pytest.mark.parametrize(
    ("text", "most"), [("32768s", 32_767), ("1d", 32_767), ("60s,32768s,5", 32_767), ("60s,10s,128", 127)]
)
def test_keepalive_that_the_kernel_would_refuse_is_refused(text: str, most: int) -> None:
    """The kernel takes at most 32,767 seconds and 127 probes (include/net/tcp.h): more would fail every session."""
    with pytest.raises(UsageError, match=f'"{text}": keepalive takes .*{most}'):
        parse_keepalive(text)
