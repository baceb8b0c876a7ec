"""Tests of the options of the exporters."""

from collections.abc import Callable

import pytest

from common.addresses import Address, Endpoint
from common.errors import UsageError
from common.exporters.settings import (
    Exporters,
    add_exporter_options,
    exporters_of,
    parse_namespace,
    parse_scraped,
    parse_server,
    parse_window,
)
from common.options import Parser


def parsed(*arguments: str) -> Exporters:
    parser = Parser("program", "")
    add_exporter_options(parser)
    return exporters_of(parser.parse_args(arguments))


def test_nothing_is_told_unless_it_is_asked_for() -> None:
    assert parsed() == Exporters(statsd=None, namespace="tcpkali", window=1.0, prometheus=None)


def test_everything_may_be_asked_for() -> None:
    arguments = ("--statsd", "stats:8125", "--statsd-namespace", "lab.box-1", "--statsd-window", "250ms")
    assert parsed(*arguments, "--prometheus", "[::1]:9464") == Exporters(
        Endpoint("stats", 8125, 8125), "lab.box-1", 0.25, Address("::1", 9464)
    )


@pytest.mark.parametrize("arguments", [("--statsd-window", "2s"), ("--statsd-namespace", "lab")])
def test_what_is_of_statsd_needs_a_server(arguments: tuple[str, str]) -> None:
    name, _ = arguments
    with pytest.raises(UsageError, match=f"^{name} needs a server to send to; add --statsd HOST:PORT$"):
        parsed("--prometheus", "9464", *arguments)
    assert parsed("--statsd", "stats:8125", *arguments).statsd


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", Address("127.0.0.1", 9464)),
        ("0.0.0.0:9464", Address("0.0.0.0", 9464)),
        ("[::]:1", Address("::", 1)),
        ("65535", Address("127.0.0.1", 65535)),
    ],
)
def test_a_port_alone_is_one_of_the_loopback(text: str, address: Address) -> None:
    assert parse_scraped(text) == address


@pytest.mark.parametrize(
    ("parse", "text", "named"),
    [
        (parse_scraped, "0", '"0"'),
        (parse_scraped, "65536", '"65536"'),
        (parse_scraped, "9" * 5000, "ports go from"),
        (parse_scraped, "٣", "bad address"),
        (parse_scraped, ":9464", '":9464"'),
        (parse_scraped, "box:9464", '"box:9464" is not one address'),
        (parse_scraped, "127.0.0.1:1-2", "is not one address"),
        (parse_scraped, "", "bad address"),
        (parse_scraped, "box", '"box"; the form is [ADDR:]PORT'),
        (parse_server, "box", '"box"'),
        (parse_server, "box:1-2", '"box:1-2" is a range of ports'),
        (parse_window, "0", "no time at all"),
        (parse_window, "99ms", '"99ms" is too short'),
        (parse_namespace, "", '""'),
        (parse_namespace, "a b", '"a b"'),
        (parse_namespace, "a:1|c\nb", "is no namespace"),
        (parse_namespace, "a..b", '"a..b"'),
        (parse_namespace, ".a", '".a"'),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(parse: Callable[[str], object], text: str, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert named in str(refused.value)
