"""What a responder tells StatsD and Prometheus, by name."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from common.exporters.prometheus import Definition, families_of, serving_prometheus, whole_listing
from common.exporters.settings import Exporters
from common.exporters.statsd import Figures, figures_of, telling_statsd
from common.reasons import by_every_reason
from responder.snapshot import ListenerRow, Snapshot
from responder.workers import AnyEngine


@dataclass(frozen=True, slots=True)
class Published:
    """What the loop hands over: nobody changes it any more."""

    snapshot: Snapshot
    listeners: tuple[ListenerRow, ...]


@asynccontextmanager
async def exporting(exporters: Exporters, engine: AnyEngine, *, attached: bool = False) -> AsyncIterator[None]:
    """Tell StatsD and Prometheus, as far as is asked for, until the end of the block.

    StatsD is told what an engine that was `attached` to counts from now on. Raises SessionerError when there is no such
    StatsD server, UsageError when Prometheus's address cannot be listened on.
    """

    async def publish() -> Published:
        return Published(await engine.snapshot(), await whole_listing(engine.listener_page))

    async def measure() -> Figures:
        return figures_of(_COUNTERS, _GAUGES, await engine.snapshot())

    async with AsyncExitStack() as stack:
        if exporters.prometheus:
            await stack.enter_async_context(serving_prometheus(exporters.prometheus, publish, families))
        if exporters.statsd:
            await stack.enter_async_context(
                telling_statsd(exporters.statsd, exporters.namespace, exporters.window, measure, attached=attached)
            )
        yield


# StatsD: tcpkali's names.

_COUNTERS: Final[Mapping[str, Callable[[Snapshot], int]]] = {
    "connections.opened": lambda now: now.accepted,
    "traffic.data": lambda now: now.received + now.sent,
    "traffic.data.rcvd": lambda now: now.received,
    "traffic.data.sent": lambda now: now.sent,
    "traffic.msgs.sent": lambda now: now.messages,
}

_GAUGES: Final[Mapping[str, Callable[[Snapshot], float]]] = {
    "connections.total": lambda now: now.held,
    "connections.total.in": lambda now: now.held,
    "connections.total.out": lambda _: 0,
}


# Prometheus: what is added to these tables is given.

_PREFIX: Final = "sessioner_responder_"

_Gauge: Final = GaugeMetricFamily
_Counter: Final = CounterMetricFamily

_OF_THE_PROCESS: Final[Sequence[Definition[Snapshot]]] = (
    Definition(_Gauge, "clients", "Sessions that are held.", lambda now: now.held),
    Definition(_Gauge, "listeners", "Local addresses that clients are accepted on.", lambda now: now.listeners),
    Definition(_Gauge, "accepting", "0 while listeners wait until there is room.", lambda now: not now.paused),
    Definition(_Gauge, "longest_pause_seconds", "Longest time the loop was held.", lambda now: now.longest_pause),
    Definition(_Counter, "clients_accepted", "Clients ever accepted.", lambda now: now.accepted),
    Definition(
        _Counter, "clients_lost", "Clients that ended unasked.", lambda now: by_every_reason(now.losses), "reason"
    ),
    Definition(_Counter, "accept_errors", "Clients that could not be accepted.", lambda now: now.accept_errors),
    Definition(_Counter, "received_bytes", "Bytes received from clients.", lambda now: now.received),
    Definition(_Counter, "sent_bytes", "Bytes sent to clients.", lambda now: now.sent),
    Definition(_Counter, "echoed_bytes", "Bytes that were sent back.", lambda now: now.echoed),
    Definition(_Counter, "messages_sent", "Messages and answers sent.", lambda now: now.messages),
    Definition(_Counter, "messages_missed", "Messages due that could not be sent.", lambda now: now.missed),
)

_OF_A_LISTENER: Final[Sequence[Definition[ListenerRow]]] = (
    Definition(_Gauge, "clients", "Sessions that are held.", lambda row: row.held),
    Definition(_Counter, "clients_accepted", "Clients ever accepted.", lambda row: row.accepted),
    Definition(_Counter, "received_bytes", "Bytes received from clients.", lambda row: row.received),
    Definition(_Counter, "sent_bytes", "Bytes sent to clients.", lambda row: row.sent),
    Definition(_Counter, "messages_sent", "Messages and answers sent.", lambda row: row.messages),
)


def families(now: Published) -> Iterator[Metric]:
    """Yield the metrics that Prometheus is given; for a thread of its own."""
    yield from families_of(_PREFIX, _OF_THE_PROCESS, [((), now.snapshot)])
    listeners = [((row.listener,), row) for row in now.listeners]
    yield from families_of(f"{_PREFIX}listener_", _OF_A_LISTENER, listeners, ("listener",))
