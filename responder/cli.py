"""The responder's command-line options."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.addresses import Endpoint, parse_endpoint
from common.keepalive import parse_keepalive
from common.options import Parser, Process, add_process_options, option, process_of
from common.table import DEFAULT_HASHSIZE
from common.units import parse_hashsize, parse_positive
from responder.settings import BACKLOG, Settings


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    listen: list[Endpoint]
    settings: Settings
    process: Process


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Return what the command line asks for; a wrong one ends the process with one line and exit code 2."""
    parser = Parser("sessioner_responder", "Accept TCP sessions and echo what comes over them.")
    add = parser.add_argument
    add(
        "-l",
        "--listen",
        action="extend",
        nargs="+",
        type=option(parse_endpoint),
        required=True,
        metavar="ADDR:PORT[-PORT]",
        help="listen on an address, [::] for both families, and a port or a range of ports (repeatable)",
    )
    add(
        "-s",
        "--hashsize",
        type=option(parse_hashsize),
        default=DEFAULT_HASHSIZE,
        metavar="SIZE",
        help=f"buckets that the table of clients starts with; it grows by itself ({DEFAULT_HASHSIZE})",
    )
    add(
        "--backlog",
        type=option(parse_positive),
        default=BACKLOG,
        metavar="N",
        help=f"clients that may wait on a listener to be accepted ({BACKLOG}, or net.core.somaxconn if that is less)",
    )
    add(
        "--keepalive",
        type=option(parse_keepalive),
        metavar="IDLE[,INTERVAL,COUNT]",
        help="let the kernel probe idle clients, so that one that has vanished is lost at last",
    )
    add_process_options(parser)
    options = parser.parse_args(arguments)
    return Options(options.listen, Settings(options.hashsize, options.backlog, options.keepalive), process_of(options))
