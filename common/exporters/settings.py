"""The command-line options of the exporters, and what they ask for."""

import argparse
import re
from dataclasses import dataclass
from typing import Final

from common.addresses import HIGHEST_PORT, Address, Endpoint, parse_address, parse_endpoint
from common.errors import UsageError
from common.options import Parser, option
from common.units import parse_timeout

# What tcpkali's names begin with, so that what was drawn of it goes on.
NAMESPACE: Final = "tcpkali"

WINDOW: Final = 1.0
_SHORTEST_WINDOW: Final = 0.1

_LOOPBACK: Final = "127.0.0.1"

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Exporters:
    """Where figures go: a StatsD server, told once in `window` seconds; an address that Prometheus scrapes."""

    statsd: Endpoint | None = None
    namespace: str = NAMESPACE
    window: float = WINDOW
    prometheus: Address | None = None

    @property
    def any(self) -> bool:
        """Whether figures go anywhere."""
        return bool(self.statsd or self.prometheus)


def add_exporter_options(parser: Parser) -> None:
    """Add the options that make an Exporters."""
    add = parser.add_argument
    add("--statsd", type=option(parse_server), metavar="HOST:PORT", help="send figures to this StatsD server by UDP")
    add(
        "--statsd-namespace",
        type=option(parse_namespace),
        metavar="NS",
        help=f"what the names of the figures begin with ({NAMESPACE})",
    )
    add(
        "--statsd-window",
        type=option(parse_window),
        metavar="T",
        help=f"send the figures of so long a time at once ({WINDOW:.0f}s)",
    )
    add(
        "--prometheus",
        type=option(parse_scraped),
        metavar="[ADDR:]PORT",
        help=f"let Prometheus scrape the figures here ({_LOOPBACK} unless an address is given)",
    )


def exporters_of(options: argparse.Namespace) -> Exporters:
    """Return the Exporters that parsed options describe; raises UsageError."""
    for name in ("namespace", "window"):
        if options.statsd is None and getattr(options, f"statsd_{name}") is not None:
            raise UsageError(f"--statsd-{name} needs a server to send to; add --statsd HOST:PORT")
    return Exporters(
        options.statsd,
        NAMESPACE if options.statsd_namespace is None else options.statsd_namespace,
        WINDOW if options.statsd_window is None else options.statsd_window,
        options.prometheus,
    )


def parse_server(text: str) -> Endpoint:
    """Return what `HOST:PORT` names; raises UsageError, for a range of ports too."""
    endpoint = parse_endpoint(text)
    if endpoint.first != endpoint.last:
        raise UsageError(f'"{text}" is a range of ports; write one, like 127.0.0.1:8125')
    return endpoint


def parse_namespace(text: str) -> str:
    """Return words with dots between them; raises UsageError for what would not be taken as a part of a name."""
    if not _NAMESPACE.fullmatch(text):
        raise UsageError(f'"{text}" is no namespace; write letters, digits, "_" and "-", like lab.box1')
    return text


def parse_window(text: str) -> float:
    """Return seconds, at least a tenth of one, written as for `parse_duration`; raises UsageError."""
    value = parse_timeout(text)
    if value < _SHORTEST_WINDOW:
        raise UsageError(f'"{text}" is too short; figures are sent every {_SHORTEST_WINDOW:g} s at most')
    return value


def parse_scraped(text: str) -> Address:
    """Return the address that `PORT`, of the loopback, or `ADDR:PORT` names; raises UsageError."""
    if not text.isascii() or not text.isdigit():
        if ":" not in text:
            raise UsageError(f'bad address "{text}"; the form is [ADDR:]PORT, like 9464 or 0.0.0.0:9464')
        return parse_address(text)
    port = int(text) if len(text) < 10 else 0
    if not 1 <= port <= HIGHEST_PORT:
        raise UsageError(f'bad port "{text}": ports go from 1 to {HIGHEST_PORT}, like 9464 or 0.0.0.0:9464')
    return Address(_LOOPBACK, port)
