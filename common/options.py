"""The command-line options that both daemons have, and how wrong ones are refused."""

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from common.errors import SessionerError, UsageError
from common.socket_options import parse_dscp, parse_size
from common.workers.division import MOST_WORKERS

T = TypeVar("T")

# What the options of the exporters, which run beside the prompt, begin with.
_EXPORTERS: Final = ("statsd", "prometheus")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Process:
    """How a process runs, apart from what its daemon does; `workers` is None for as many as are needed.

    `fleet` is the address of a Ray cluster, or None; `name` is that of a new fleet, `attach` that of one to go on with.
    """

    execute: list[str]
    script: Path | None
    no_prompt: bool
    log: Path | None
    debug: bool
    no_ulimit: bool
    loop: str
    workers: int | None = 1
    fleet: str | None = None
    per_node: int = 1
    name: str | None = None
    attach: str | None = None


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, with the exit code of wrong usage, and takes no shortened options."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def refuse_beside_attach(self, options: argparse.Namespace) -> None:
        """Raise UsageError for an option that says what a fleet is, for the one that is attached to is that already."""
        for action in self._actions:
            of_console = action.dest in Process.__slots__ or action.dest.startswith(_EXPORTERS)
            if not of_console and getattr(options, action.dest, action.default) != action.default:
                name = action.option_strings[-1]
                raise UsageError(f"leave out {name} with --attach: the fleet is what it is already")

    def error(self, message: str) -> NoReturn:
        """End the process."""
        sys.stderr.write(f"{self.prog}: {message} (--help shows the options)\n")
        sys.exit(UsageError.exit_code)


def option(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return a parser of an option's value whose UsageError argparse shows as it is."""

    def parse_option(text: str) -> T:
        try:
            return parse(text)
        except SessionerError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_option


def add_process_options(parser: Parser) -> None:
    """Add the options that make a Process."""
    add = parser.add_argument
    add("-d", "--debug", action="store_true", help="show debug output from the start (`debug` switches it)")
    add("-u", "--no-ulimit", action="store_true", help="do not raise the limit on file descriptors")
    add(
        "--exec",
        dest="execute",
        action="append",
        default=[],
        metavar="COMMAND",
        help="run a command before the prompt opens (repeatable)",
    )
    add(
        "--script",
        type=Path,
        metavar="FILE",
        help="run the commands in a file, one a line, and end unless it says `prompt`",
    )
    add("--no-prompt", action="store_true", help="read no standard input, run until SIGTERM")
    add("--log", type=Path, metavar="FILE", help="append commands, changes of state and losses, with times, to a file")
    add(
        "--workers",
        type=option(_parse_workers),
        default=1,
        metavar="N",
        help="hold the sessions in so many processes, or in as many as they need with `auto` (1: in this one)",
    )
    add(
        "--fleet",
        type=option(_parse_cluster),
        metavar="HOST:PORT",
        help="hold the sessions on every node of the Ray cluster whose head is there",
    )
    add("--per-node", type=option(_parse_per_node), default=1, metavar="N", help="engines on each node of a fleet (1)")
    add("--name", type=option(_parse_name), metavar="NAME", help="what the new fleet is called (the daemon's name)")
    add("--attach", type=option(_parse_name), metavar="NAME", help="go on with a fleet that was left to go on")
    add("--loop", choices=("uvloop", "asyncio"), default="uvloop", help="the event loop (uvloop)")


def _parse_workers(text: str) -> int | None:
    if text == "auto":
        return None
    count = _count_of(text)
    if not count:
        raise UsageError(f'"{text}" is no number of workers: give one from 1 to {MOST_WORKERS}, or auto')
    return count


def _count_of(text: str) -> int:
    """Return a number of processes, 0 for what is none."""
    count = int(text) if text.isdecimal() and text.isascii() and len(text) < 5 else 0
    return count if count <= MOST_WORKERS else 0


def _parse_cluster(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not (port.isdecimal() and port.isascii() and len(port) < 6 and 1 <= int(port) <= 65535):
        raise UsageError(f'"{text}" is no address of a Ray cluster: give HOST:PORT, like 10.0.0.1:6379')
    return text


def _parse_per_node(text: str) -> int:
    count = _count_of(text)
    if not count:
        raise UsageError(f'"{text}" is no number of engines: give one from 1 to {MOST_WORKERS}')
    return count


def _parse_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise UsageError(f'"{text}" is no name of a fleet: letters, digits, dots, dashes and underscores make one')
    return text


def add_socket_options(parser: Parser) -> None:
    """Add the options that say what sockets are."""
    add = parser.add_argument
    add("--nagle", choices=("on", "off"), default="off", help="let small pieces wait for each other, or not (off)")
    add("--rcvbuf", type=option(parse_size), metavar="SIZE", help="bytes of each receive buffer (the kernel's choice)")
    add("--sndbuf", type=option(parse_size), metavar="SIZE", help="bytes of each send buffer (the kernel's choice)")
    add("--dscp", type=option(parse_dscp), metavar="N", help="mark what is sent with this DSCP, from 0 to 63 (0)")


def process_of(options: argparse.Namespace) -> Process:
    """Return the Process that parsed options describe; raises UsageError."""
    values: dict[str, Any] = vars(options)
    if options.fleet is None:
        for name, usual in (("per_node", 1), ("name", None), ("attach", None)):
            if values[name] != usual:
                raise UsageError(f"--{name.replace('_', '-')} needs --fleet HOST:PORT")
    elif options.attach is not None and (options.name is not None or options.per_node != 1):
        raise UsageError("leave out --name and --per-node with --attach: the fleet is what it is already")
    elif options.workers != 1:
        raise UsageError("leave out --workers with --fleet; --per-node N begins several engines on each node")
    return Process(**{name: values[name] for name in Process.__slots__})
