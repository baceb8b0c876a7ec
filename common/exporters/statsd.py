"""Figures sent to a StatsD server by UDP, once in a window; nothing waits for it, and nothing depends on it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from socket import SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, socket
from typing import Final, TypeVar

from common.addresses import Address, Endpoint
from common.errors import SessionerError
from common.resolver import resolve

log = logging.getLogger("sessioner")

# Bytes of a datagram that passes a path of Ethernet and a tunnel in one piece.
_DATAGRAM: Final = 1400

_FAILURES: Final = "statsd.failures"


Source = TypeVar("Source")


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told, by name: counts since the engine began, values of the moment, milliseconds of a window."""

    counters: Mapping[str, int]
    gauges: Mapping[str, float]
    latencies: Mapping[str, float] = field(default_factory=dict)


def figures_of(
    counters: Mapping[str, Callable[[Source], int]], gauges: Mapping[str, Callable[[Source], float]], source: Source
) -> Figures:
    """Return the figures that two tables say how to find in a source."""
    return Figures(
        {name: value(source) for name, value in counters.items()},
        {name: value(source) for name, value in gauges.items()},
    )


class Deltas:
    """What counters have grown by since they were told last, the first time since `base`, or from 0 on."""

    def __init__(self, base: Mapping[str, int]) -> None:
        self._told = base

    def of(self, counters: Mapping[str, int]) -> Iterator[tuple[str, int]]:
        """Yield each counter's growth."""
        told, self._told = self._told, counters
        for name, total in counters.items():
            yield name, total - told.get(name, 0)


class StatsD:
    """A connected UDP socket, so that the kernel tells what became of the datagrams, as far as it knows.

    `told` is what was told last.
    """

    def __init__(self, sock: socket, name: str, namespace: str, base: Mapping[str, int]) -> None:
        self.failures = 0
        self.told = Figures(base, {})
        self._sock = sock
        self._name = name
        self._namespace = namespace
        self._deltas = Deltas(base)
        self._failing = False

    def tell(self, figures: Figures) -> None:
        """Send figures."""
        self.told = figures
        counters = {**figures.counters, _FAILURES: self.failures}
        lines = [f"{self._namespace}.{name}:{delta}|c" for name, delta in self._deltas.of(counters)]
        values = {**figures.gauges, **figures.latencies}
        lines += [f"{self._namespace}.{name}:{_number(value)}|g" for name, value in values.items()]
        failures = self.failures
        for datagram in batched(lines, _DATAGRAM):
            self._send(datagram)
        if self.failures == failures and self._failing:
            self._failing = False
            log.info("StatsD at %s takes figures again", self._name)

    def _send(self, datagram: bytes) -> None:
        try:
            self._sock.send(datagram)
        except ConnectionRefusedError as failure:
            # It tells of a datagram before, and this one was not sent: udp(7).
            self._failed(failure)
            try:
                self._sock.send(datagram)
            except OSError as again:
                self._failed(again)
        except OSError as failure:
            self._failed(failure)

    def _failed(self, failure: OSError) -> None:
        self.failures += 1
        if not self._failing:
            self._failing = True
            log.warning(
                "StatsD at %s: %s; figures are sent on, and what fails is counted", self._name, failure.strerror
            )


def batched(lines: Iterable[str], size: int) -> Iterator[bytes]:
    """Yield lines joined by newlines to as few datagrams of at most so many bytes as their order allows."""
    batch = b""
    for line in lines:
        joined = b"%b\n%b" % (batch, line.encode()) if batch else line.encode()
        if batch and len(joined) > size:
            yield batch
            joined = line.encode()
        batch = joined
    if batch:
        yield batch


@asynccontextmanager
async def telling_statsd(
    server: Endpoint,
    namespace: str,
    window: float,
    measure: Callable[[], Awaitable[Figures]],
    *,
    attached: bool = False,
) -> AsyncIterator[StatsD]:
    """Tell a StatsD server what `measure` returns once in `window` seconds, until the end of the block.

    Then the counters are told once more, and the gauges as 0: nobody else will. What was counted before is told as well
    unless the engine was `attached` to, for another console has told that. Raises SessionerError when there is no such
    server, or the engine does not answer.
    """
    name = str(Address(server.host, server.first))
    item = (await resolve(server))[0]
    with socket(item.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC) as sock:
        try:
            sock.connect(item.sockaddr)
        except OSError as failure:
            raise SessionerError(f"cannot send to StatsD at {name}: {failure.strerror}") from None
        base = (await measure()).counters if attached else {}
        statsd = StatsD(sock, name, namespace, base)
        task = asyncio.ensure_future(_tell(statsd, window, measure))
        try:
            yield statsd
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            try:
                last = await measure()
            except SessionerError:
                last = statsd.told
            statsd.tell(Figures(last.counters, dict.fromkeys(last.gauges, 0)))
            log.info("StatsD at %s: %d failures", name, statsd.failures)


async def _tell(statsd: StatsD, window: float, measure: Callable[[], Awaitable[Figures]]) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        try:
            statsd.tell(await measure())
        except SessionerError:
            pass  # nobody answers: the next window's counters hold the figures of this one
        except Exception:
            log.exception("This is a bug, and the daemon goes on:")
        # A window that was slept through is not made up for: the next one's counters hold its figures.
        due = max(due + window, loop.time())
        await asyncio.sleep(due - loop.time())


def _number(value: float) -> str:
    """Return a number without an exponent, which not every server reads."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
