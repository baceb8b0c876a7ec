"""The responder's command-line options."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from common.addresses import Endpoint, parse_endpoint
from common.errors import UsageError
from common.exporters.settings import Exporters, add_exporter_options, exporters_of
from common.files import read_bytes
from common.keepalive import parse_keepalive
from common.options import Parser, Process, add_process_options, add_socket_options, option, process_of
from common.table import DEFAULT_HASHSIZE
from common.tls import server_context
from common.units import parse_hashsize, parse_positive, parse_real
from responder.settings import BACKLOG, ECHO, MODES, Settings, Tls, check_mode

# One message in a quarter of an hour: what is slower is a slip of the hand, or too long for a timer of the loop.
_LOWEST_RATE: Final = 0.001


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for: each listener with its mode, that of later ones is in the settings."""

    listen: list[tuple[Endpoint, str]]
    settings: Settings
    exporters: Exporters
    process: Process


class _AddListeners(argparse.Action):
    """Listeners with the --mode that came before them."""

    def __call__(
        self, _parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, _flag: str | None = None
    ) -> None:
        """Take note of the listeners."""
        options.listen = [*(options.listen or ()), *((endpoint, options.mode) for endpoint in values)]


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Return what the command line asks for; a wrong one ends the process with one line and exit code 2."""
    parser = Parser("sessioner_responder", "Accept TCP sessions, and echo what comes over them or treat it otherwise.")
    _add_listener_options(parser)
    _add_mode_options(parser)
    add_socket_options(parser)
    add_exporter_options(parser)
    add_process_options(parser)
    options = parser.parse_args(arguments)
    if options.listen is None and options.attach is None:
        parser.error("no listener: give -l/--listen ADDR:PORT[-PORT]")
    try:
        process = process_of(options)
        if process.attach is not None:
            if options.listen:
                raise UsageError("leave out --listen with --attach; `listen add` adds some")
            parser.refuse_beside_attach(options)
        settings = _settings(options)
        listen = options.listen or []
        for mode in (settings.mode, *(mode for _, mode in listen)):
            check_mode(mode, settings)
        exporters = exporters_of(options)
    except UsageError as error:
        parser.error(str(error))
    return Options(listen, settings, exporters, process)


def _add_listener_options(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "-l",
        "--listen",
        action=_AddListeners,
        nargs="+",
        type=option(parse_endpoint),
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
    add("--tls-cert", metavar="FILE", help="speak TLS on every listener, and show this certificate")
    add("--tls-key", metavar="FILE", help="where its key is (the file of the certificate)")


def _add_mode_options(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--mode",
        choices=MODES,
        default=ECHO,
        help="what the listeners after it, and those added later, do with their clients: send back what they send,"
        " discard it, send them --message, or answer with --content when they have sent all (echo; `mode` changes it)",
    )
    add("--message", type=option(_parse_message), metavar="TEXT", help="what mode active sends")
    add(
        "--message-rate",
        type=option(_parse_rate),
        metavar="RATE",
        help="send it so many times a second over each session (as fast as the client takes it)",
    )
    add("--content", type=option(read_bytes), metavar="FILE", help="what mode serve answers")
    add("--marker", action="store_true", help="look for time stamps in what is received (`marker` switches it)")


def _parse_message(text: str) -> bytes:
    if not text:
        raise UsageError("there is no message in an empty text")
    return os.fsencode(text)


def _parse_rate(text: str) -> float:
    value = parse_real(text)
    if value < _LOWEST_RATE:
        raise UsageError(f'"{text}" is too small; at least {_LOWEST_RATE} messages a second are sent')
    return value


def _settings(options: argparse.Namespace) -> Settings:
    """Return what the process is to be; raises UsageError."""
    if options.message_rate is not None and options.message is None:
        raise UsageError("--message-rate needs --message TEXT")
    return Settings(
        hashsize=options.hashsize,
        backlog=options.backlog,
        keepalive=options.keepalive,
        message=options.message,
        message_rate=options.message_rate,
        content=options.content,
        nagle=options.nagle == "on",
        rcvbuf=options.rcvbuf,
        sndbuf=options.sndbuf,
        dscp=options.dscp,
        marker=options.marker,
        tls=_tls(options),
        mode=options.mode,
    )


def _tls(options: argparse.Namespace) -> Tls | None:
    """Return how clients are spoken TLS to; raises UsageError, for files that cannot be used as well."""
    if options.tls_cert is None:
        if options.tls_key is not None:
            raise UsageError("--tls-key needs --tls-cert FILE")
        return None
    tls = Tls(options.tls_cert, options.tls_cert if options.tls_key is None else options.tls_key)
    server_context(tls.certificate, tls.key)
    return tls
