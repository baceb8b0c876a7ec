"""The raw programs that load is measured against, and whether arrivals are Poisson and sessions drawn evenly."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import expm1, log, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

from tests.benchmarks.harness import FLOOR, compile_program
from tests.ports import find_free_ports
from tests.support import PATIENCE

# How often a sample that is what it should be lies beyond the critical value.
_SIGNIFICANCE = 0.01


@dataclass(frozen=True, slots=True)
class Program:
    """A raw program under way, with the ports that it listens on or sends to."""

    process: "subprocess.Popen[str]"
    ports: list[int]

    def line(self) -> Any:
        """Return what the next line of its output says."""
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def end(self) -> list[Any]:
        """Close its input, and return what all further lines say, the report as the last; a failure is an error."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        lines = [json.loads(line) for line in self.process.stdout]
        assert self.process.wait(PATIENCE) == 0
        return lines


def compile_peers() -> None:
    """Compile the raw programs that send, discard and witness."""
    for name in ("sink", "sender", "witness", "churn_server", "churn_client"):
        compile_program(name, "peer.c", "peer.h")


@contextmanager
def sink(ports: int, message_size: int | None = None) -> Iterator[Program]:
    """Discard what comes on so many ports.

    A line for each whole second from the first byte on: `second` (of CLOCK_MONOTONIC, as `time.monotonic`), `bytes`,
    `reads`, and `messages` where their size in bytes is given: bytes by size, over all sessions. The report has the
    same of the whole run, also of the seconds that were not whole, and `accepted`, `reset`, `user_s`, `system_s`.
    """
    size = [] if message_size is None else [str(message_size)]
    with _listening("sink", ports, *size) as program:
        yield program


@contextmanager
def churn_server(ports: int, size: int) -> Iterator[Program]:
    """Answer each session on so many ports with so many bytes once its peer has sent all, and close it.

    The report: `accepted`, `served`, `reset`, `user_s`, `system_s`.
    """
    with _listening("churn_server", ports, str(size)) as program:
        yield program


def churn_client(ports: Sequence[int], way: str, under_way: int, size: int, seconds: int) -> Any:
    """Ask so many sessions at a time with so many bytes each, for so many seconds, and return the report.

    It has `completed`, `failed`, `wall_s`, `user_s`, `system_s`. The `way` is `plain`, `turns` or `eager`: see the
    program.
    """
    arguments = (way, str(under_way), str(size), str(seconds), *map(str, ports))
    with _started("churn_client", *arguments) as process:
        return Program(process, list(ports)).line()


@contextmanager
def witness(ports: int, path: Path) -> Iterator[Program]:
    """Echo what comes on so many ports, and write into a file, at the end, when each DNS message came: see `arrivals`.

    The report: `accepted`, `reset`, `messages`, `unfinished` (messages of which not all came), `user_s`, `system_s`.
    """
    with _listening("witness", ports, str(path)) as program:
        yield program


@contextmanager
def sender(ports: Sequence[int], sessions: int, size: int, seconds: int) -> Iterator[Program]:
    """Open sessions to ports in turn, and send blocks of so many bytes on all of them for so many seconds.

    The report: `bytes` that the sockets took, of which the peer had not acknowledged `queued`; `sends`; and `wall_s`,
    `user_s`, `system_s` from when all sessions were open.
    """
    arguments = (str(sessions), str(size), str(seconds), *map(str, ports))
    with _started("sender", *arguments) as process:
        yield Program(process, list(ports))


def arrivals(path: Path) -> list[tuple[int, int]]:
    """Return what a witness wrote: nanoseconds of CLOCK_MONOTONIC and the session's number for each message, in order.

    Sessions are numbered from 0 in the order of their acceptance. A message came when its last byte did; those that
    were read together from one session all came with the last.
    """
    rows = (line.split() for line in path.read_text().splitlines())
    return sorted((int(time), int(session)) for time, session in rows)


def ks_exponential(gaps: Sequence[float], rate: float) -> tuple[float, float]:
    """Return how far gaps (s) are from those of Poisson arrivals at a rate (1/s), and the critical value at 1 %.

    The distance is that of Kolmogorov and Smirnov, from 0 to 1. The critical value is their limit for many gaps with
    the correction of Stephens (1970) for few: within 1 % of the exact one from ten gaps on.
    """
    count, root = len(gaps), sqrt(len(gaps))
    expected = [-expm1(-rate * gap) for gap in sorted(gaps)]
    distance = max(max((place + 1) / count - share, share - place / count) for place, share in enumerate(expected))
    return distance, sqrt(log(2 / _SIGNIFICANCE) / 2) / (root + 0.12 + 0.11 / root)


def chi_square_uniform(counts: Sequence[int]) -> tuple[float, float]:
    """Return how unevenly things fell into two or more equal classes (chi square), and the critical value at 1 %.

    The critical value is the approximation of Wilson and Hilferty (1931): within 1 % of the exact one, and within 0.2 %
    from ten classes on. Of each class five or more should be expected. What is too even (taking turns) is not noticed.
    """
    expected = sum(counts) / len(counts)
    statistic = sum((count - expected) ** 2 for count in counts) / expected
    freedom = len(counts) - 1
    variance = 2 / (9 * freedom)
    return statistic, freedom * (1 - variance + NormalDist().inv_cdf(1 - _SIGNIFICANCE) * sqrt(variance)) ** 3


@contextmanager
def _listening(name: str, ports: int, *arguments: str) -> Iterator[Program]:
    with _started(name, str(find_free_ports(ports)), str(ports), *arguments) as process:
        assert process.stdout
        yield Program(process, [int(port) for port in process.stdout.readline().split()])


@contextmanager
def _started(name: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a program on the loopback; one that has not ended by the end of the block is killed."""
    with subprocess.Popen(
        [FLOOR / name, "127.0.0.1", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
