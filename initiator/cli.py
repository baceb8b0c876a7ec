"""The initiator's command-line options."""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.addresses import Endpoint, parse_endpoint, parse_sources
from common.errors import UsageError
from common.exporters.settings import Exporters, add_exporter_options, exporters_of
from common.keepalive import parse_keepalive
from common.options import Parser, Process, add_process_options, add_socket_options, option, process_of
from common.tls import check_name, client_context
from common.units import parse_count, parse_hashsize, parse_real, parse_timeout
from initiator.settings import CONNECT_TIMEOUT, HASHSIZE, PING_TIMEOUT, Settings, Tls


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for: each target with the size its table starts with, and that of later ones."""

    targets: list[tuple[Endpoint, int | None]]
    hashsize: int | None
    loopback: bool
    settings: Settings
    exporters: Exporters
    process: Process


class _AddTargets(argparse.Action):
    """Targets with the --hashsize that came before them."""

    def __call__(
        self, _parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, _flag: str | None = None
    ) -> None:
        """Take note of the targets."""
        options.targets = [*options.targets, *((endpoint, options.hashsize) for endpoint in values)]


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Return what the command line asks for; a wrong one ends the process with one line and exit code 2."""
    parser = Parser("sessioner_initiator", "Open TCP sessions to targets and maintain them.")
    _add_target_options(parser)
    _add_session_options(parser)
    add_socket_options(parser)
    _add_tls_options(parser)
    add = parser.add_argument
    add("--seed", type=option(parse_count), metavar="N", help="repeat the draws of an earlier run")
    add("--loopback", action="store_true", help="start a responder inside this process, for a first try")
    add_exporter_options(parser)
    add_process_options(parser)
    options = parser.parse_args(arguments)
    if not options.targets and not options.loopback and options.attach is None:
        parser.error("no target: give --target ADDR:PORT[-PORT], or --loopback for a first try")
    try:
        process = process_of(options)
        if process.fleet and options.loopback:
            raise UsageError("leave out --loopback with --fleet, whose nodes share no loopback")
        if process.attach is not None:
            if options.targets:
                raise UsageError("leave out --target with --attach; `target add` adds some")
            parser.refuse_beside_attach(options)
        settings, exporters = _settings(options), exporters_of(options)
    except UsageError as error:
        parser.error(str(error))
    return Options(
        targets=options.targets,
        hashsize=options.hashsize,
        loopback=options.loopback,
        settings=settings,
        exporters=exporters,
        process=process,
    )


def _add_target_options(parser: Parser) -> None:
    parser.set_defaults(targets=[])
    add = parser.add_argument
    add(
        "-t",
        "--target",
        action=_AddTargets,
        nargs="+",
        type=option(parse_endpoint),
        metavar="ADDR:PORT[-PORT]",
        help="hold sessions to an address and a port or a range of ports, one each at the start (repeatable)",
    )
    add(
        "-s",
        "--hashsize",
        type=option(parse_hashsize),
        metavar="SIZE",
        help=f"buckets that the tables of the targets after it start with; they grow by themselves ({HASHSIZE})",
    )


def _add_session_options(parser: Parser) -> None:
    add = parser.add_argument
    add("-p", "--ping", action="store_true", help="send PING over each session now and then (`ping` switches it)")
    add(
        "--ping-timeout",
        type=option(parse_timeout),
        default=PING_TIMEOUT,
        metavar="T",
        help=f"a session that answers no ping for so long is lost, and replaced ({PING_TIMEOUT:.0f}s)",
    )
    add(
        "--connect-timeout",
        type=option(parse_timeout),
        default=CONNECT_TIMEOUT,
        metavar="T",
        help=f"an attempt that takes longer has failed ({CONNECT_TIMEOUT:.0f}s)",
    )
    add(
        "--connect-rate",
        type=option(parse_real),
        metavar="RATE",
        help="begin at most so many attempts a second (no limit; `rate` changes it)",
    )
    add(
        "--source-ip",
        action="extend",
        nargs="+",
        type=option(parse_sources),
        default=[],
        metavar="IP[-IP]",
        help="open sessions from these addresses in turn (repeatable; the kernel's choice if none is given)",
    )
    add("--interface", metavar="NAME", help="open sessions through this interface alone")
    add(
        "--keepalive",
        type=option(parse_keepalive),
        metavar="IDLE[,INTERVAL,COUNT]",
        help="let the kernel probe sessions that were idle for so long",
    )


def _add_tls_options(parser: Parser) -> None:
    add = parser.add_argument
    add("--tls", action="store_true", help="speak TLS over the held sessions, and verify whose certificate is shown")
    add("--tls-ca", metavar="FILE", help="trust the authorities in this file (the system's)")
    add(
        "--tls-name",
        type=option(check_name),
        metavar="NAME",
        help="the name that is asked for and verified (the host of the target as it is written)",
    )
    add("--tls-insecure", action="store_true", help="verify nothing")


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        seed=random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed,
        connect_timeout=options.connect_timeout,
        connect_rate=options.connect_rate,
        ping=options.ping,
        ping_timeout=options.ping_timeout,
        source_ips=tuple(ip for ips in options.source_ip for ip in ips),
        interface=options.interface,
        keepalive=options.keepalive,
        nagle=options.nagle == "on",
        rcvbuf=options.rcvbuf,
        sndbuf=options.sndbuf,
        dscp=options.dscp,
        tls=_tls(options),
    )


def _tls(options: argparse.Namespace) -> Tls | None:
    """Return how sessions speak TLS; raises UsageError, for files that cannot be used as well."""
    if not options.tls:
        for name, without in (("ca", None), ("name", None), ("insecure", False)):
            if getattr(options, f"tls_{name}") is not without:
                raise UsageError(f"--tls-{name} needs --tls")
        return None
    if options.loopback:
        raise UsageError("leave out --tls with --loopback, whose responder has no certificate")
    if options.tls_insecure and options.tls_ca is not None:
        raise UsageError("leave out --tls-ca with --tls-insecure, which verifies nothing")
    tls = Tls(options.tls_ca, options.tls_name, not options.tls_insecure)
    client_context(tls.ca, tls.verify)
    return tls
