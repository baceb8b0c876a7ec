"""What an initiator tells StatsD and Prometheus, by name."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from common.exporters.prometheus import Definition, families_of, histograms, serving_prometheus, whole_listing
from common.exporters.settings import Exporters
from common.exporters.statsd import Figures, figures_of, telling_statsd
from common.histogram import Histogram
from common.reasons import by_every_reason
from initiator.latencies import Latencies
from initiator.snapshot import Snapshot, TargetSnapshot
from initiator.totals import ChurnTotals, MessageTotals, QueryTotals, Totals
from initiator.workers import AnyEngine


@dataclass(frozen=True, slots=True)
class Published:
    """What the loop hands over: nobody changes it any more."""

    snapshot: Snapshot
    totals: Totals
    latencies: Latencies
    targets: tuple[TargetSnapshot, ...] = ()


@asynccontextmanager
async def exporting(exporters: Exporters, engine: AnyEngine, *, attached: bool = False) -> AsyncIterator[None]:
    """Tell StatsD and Prometheus, as far as is asked for, until the end of the block.

    StatsD is told what an engine that was `attached` to counts from now on. Raises SessionerError when there is no such
    StatsD server, UsageError when Prometheus's address cannot be listened on.
    """
    window = _Window(engine)

    async def publish() -> Published:
        return await published(engine)

    async with AsyncExitStack() as stack:
        if exporters.prometheus:
            await stack.enter_async_context(serving_prometheus(exporters.prometheus, publish, families))
        if exporters.statsd:
            await stack.enter_async_context(
                telling_statsd(
                    exporters.statsd, exporters.namespace, exporters.window, window.figures, attached=attached
                )
            )
        yield


async def published(engine: AnyEngine) -> Published:
    """Return the figures of this moment, those of each target a few milliseconds later."""
    snapshot, totals = await engine.snapshot(), await engine.totals()
    await asyncio.sleep(0)
    latencies = await engine.latencies()
    await asyncio.sleep(0)
    return Published(snapshot, totals, latencies, await whole_listing(engine.target_page))


# StatsD: tcpkali's names.

_COUNTERS: Final[Mapping[str, Callable[[Published], int]]] = {
    "connections.opened": lambda now: now.snapshot.established,
    "traffic.data": lambda now: now.snapshot.traffic.received + now.snapshot.traffic.sent,
    "traffic.data.rcvd": lambda now: now.snapshot.traffic.received,
    "traffic.data.sent": lambda now: now.snapshot.traffic.sent,
    "traffic.data.reads": lambda now: now.snapshot.traffic.reads,
    "traffic.data.writes": lambda now: now.snapshot.traffic.writes,
    "traffic.msgs.rcvd": lambda now: now.totals.queries.answered + now.totals.messages.answered,
    "traffic.msgs.sent": lambda now: now.totals.queries.sent + now.totals.messages.sent,
    # Not tcpkali's.
    "transactions.begun": lambda now: now.totals.churn.begun,
    "transactions.completed": lambda now: now.totals.churn.completed,
    "transactions.failed": lambda now: sum(now.totals.churn.failed.values()),
}

_GAUGES: Final[Mapping[str, Callable[[Published], float]]] = {
    "connections.total": lambda now: now.snapshot.held,
    "connections.total.in": lambda _: 0,
    "connections.total.out": lambda now: now.snapshot.held,
    "traffic.bitrate": lambda now: 8 * (now.snapshot.receive_rate + now.snapshot.send_rate),
    "traffic.bitrate.in": lambda now: 8 * now.snapshot.receive_rate,
    "traffic.bitrate.out": lambda now: 8 * now.snapshot.send_rate,
}

_LATENCIES: Final[Mapping[str, Callable[[Latencies], Histogram]]] = {
    "connect": lambda latencies: latencies.connect.raw,
    "firstbyte": lambda latencies: latencies.first_byte.raw,
    "message": lambda latencies: _of_both(latencies.query.corrected, latencies.message.corrected),
}


def _of_both(queries: Histogram, messages: Histogram) -> Histogram:
    merged = queries.copy()
    merged.merge(messages)
    return merged


# Those that tcpkali reports unless it is told others.
_PERCENTILES: Final = (95, 99, 99.5)


class _Window:
    """The figures of one engine, the latencies those since the time before."""

    def __init__(self, engine: AnyEngine) -> None:
        self._engine = engine
        self._before = Latencies()

    async def figures(self) -> Figures:
        """Return what StatsD is told."""
        engine = self._engine
        now = Published(await engine.snapshot(), await engine.totals(), await engine.latencies())
        before, self._before = self._before, now.latencies
        latencies: dict[str, float] = {}
        for name, which in _LATENCIES.items():
            await asyncio.sleep(0)  # a difference of wide histograms takes milliseconds
            latencies.update(_latency_gauges(f"latency.{name}", which(now.latencies).since(which(before))))
        figures = figures_of(_COUNTERS, _GAUGES, now)
        return replace(figures, latencies=latencies)


def _latency_gauges(name: str, histogram: Histogram) -> Iterator[tuple[str, float]]:
    """Yield a latency in milliseconds; nothing when nothing was measured, for that is no latency of 0."""
    if histogram.count:
        yield f"{name}.min", histogram.lowest * 1000
        yield f"{name}.mean", histogram.mean * 1000
        yield f"{name}.max", histogram.highest * 1000
        for percent, value in zip(_PERCENTILES, histogram.percentiles(_PERCENTILES), strict=True):
            yield f"{name}.{percent:g}", value * 1000


# Prometheus: what is added to these tables is given.

_PREFIX: Final = "sessioner_initiator_"


def _outstanding(now: Snapshot) -> float:
    return now.query.outstanding if now.query else 0.0


def _labels(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts by reason as values of a label: words without spaces."""
    return {reason.replace(" ", "_"): count for reason, count in counts.items()}


_Gauge: Final = GaugeMetricFamily
_Counter: Final = CounterMetricFamily

_OF_THE_PROCESS: Final[Sequence[Definition[Snapshot]]] = (
    Definition(_Gauge, "sessions_asked", "Sessions asked for.", lambda now: now.asked),
    Definition(_Gauge, "sessions_held", "Sessions established and held.", lambda now: now.held),
    Definition(_Gauge, "sessions_confirmed", "Held sessions that ever had an answer.", lambda now: now.confirmed),
    Definition(
        _Gauge,
        "sessions_confirmed_last_minute",
        "Held sessions that had an answer in the last minute.",
        lambda now: now.confirmed_last_minute,
    ),
    Definition(_Gauge, "attempts", "Sessions that are not established yet.", lambda now: now.attempts),
    Definition(_Gauge, "targets", "Remote addresses.", lambda now: now.targets),
    Definition(_Gauge, "targets_pausing", "Targets that wait after a failure.", lambda now: now.pausing_targets),
    Definition(
        _Gauge, "targets_without_ports", "Targets to which no port is left.", lambda now: now.targets_without_ports
    ),
    Definition(_Gauge, "longest_pause_seconds", "Longest time the loop was held.", lambda now: now.longest_pause),
    Definition(
        _Gauge,
        "queries_asked_per_second",
        "The rate asked for, 0 when none are sent.",
        lambda now: now.queries_asked_rate,
    ),
    Definition(
        _Gauge,
        "messages_asked_per_second",
        "The rate asked for of all sessions, 0 when none are sent or at no rate.",
        lambda now: now.messages_asked_rate,
    ),
    Definition(
        _Gauge,
        "transactions_asked_per_second",
        "The rate of short sessions asked for, 0 when none are begun.",
        lambda now: now.transactions_asked_rate,
    ),
    Definition(_Gauge, "queries_outstanding", "Queries that wait for an answer.", _outstanding),
    Definition(_Counter, "sessions_established", "Sessions ever established.", lambda now: now.established),
    Definition(
        _Counter,
        "sessions_lost",
        "Established sessions that ended unasked.",
        lambda now: by_every_reason(now.losses),
        "reason",
    ),
    Definition(
        _Counter,
        "attempts_failed",
        "Attempts that came to nothing.",
        lambda now: by_every_reason(now.failures),
        "reason",
    ),
    Definition(_Counter, "received_bytes", "Bytes received over sessions.", lambda now: now.traffic.received),
    Definition(_Counter, "sent_bytes", "Bytes sent over sessions.", lambda now: now.traffic.sent),
    Definition(_Counter, "reads", "Reads that moved the bytes.", lambda now: now.traffic.reads),
    Definition(_Counter, "writes", "Writes that moved the bytes.", lambda now: now.traffic.writes),
)

_OF_THE_QUERIES: Final[Sequence[Definition[QueryTotals]]] = (
    Definition(_Counter, "queries_due", "Queries that were due by the schedule.", lambda now: now.due),
    Definition(_Counter, "queries_sent", "Queries sent.", lambda now: now.sent),
    Definition(_Counter, "queries_answered", "Queries answered in time.", lambda now: now.answered),
    Definition(
        _Counter,
        "queries_failed",
        "Queries not answered in time, whose session was lost, or given up unsent.",
        lambda now: _labels(now.failed),
        "reason",
    ),
    Definition(_Counter, "answers", "Answers by code; echo came back as it was sent.", lambda now: now.rcodes, "rcode"),
    Definition(_Counter, "answers_truncated", "Answers with the TC bit.", lambda now: now.truncated),
    Definition(
        _Counter,
        "answers_not_counted",
        "Answers after the timeout, to nothing that was asked, or too short.",
        lambda now: {"late": now.late, "unknown_id": now.unknown, "malformed": now.malformed},
        "reason",
    ),
)

_OF_THE_MESSAGES: Final[Sequence[Definition[MessageTotals]]] = (
    Definition(_Counter, "messages_sent", "Messages sent.", lambda now: now.sent),
    Definition(_Counter, "messages_missed", "Messages due and not sent.", lambda now: _labels(now.missed), "reason"),
    Definition(_Counter, "messages_answered", "Messages answered.", lambda now: now.answered),
    Definition(
        _Counter,
        "messages_failed",
        "Messages without an answer, or with a wrong one.",
        lambda now: _labels(now.failed),
        "reason",
    ),
    Definition(_Counter, "answers_unexpected", "Answers to no message.", lambda now: now.unexpected),
)

_OF_THE_CHURN: Final[Sequence[Definition[ChurnTotals]]] = (
    Definition(_Counter, "transactions_due", "Short sessions that were due by the schedule.", lambda now: now.due),
    Definition(_Counter, "transactions_begun", "Short sessions begun.", lambda now: now.begun),
    Definition(_Counter, "transactions_completed", "Short sessions answered and closed.", lambda now: now.completed),
    Definition(
        _Counter,
        "transactions_failed",
        "Short sessions that were due and came to nothing.",
        lambda now: _labels(now.failed),
        "reason",
    ),
)

_OF_A_TARGET: Final[Sequence[Definition[TargetSnapshot]]] = (
    Definition(_Gauge, "sessions_asked", "Sessions asked for.", lambda target: target.share),
    Definition(_Gauge, "sessions_held", "Sessions established and held.", lambda target: target.held),
    Definition(_Gauge, "attempts", "Sessions that are not established yet.", lambda target: target.attempts),
    Definition(_Counter, "sessions_established", "Sessions ever established.", lambda target: target.established),
    Definition(_Counter, "sessions_lost", "Sessions that ended unasked.", lambda target: target.losses, "reason"),
    Definition(_Counter, "attempts_failed", "Attempts that came to nothing.", lambda target: target.failures, "reason"),
)

_WHAT: Final = {"late": "How late things were sent."}


def families(now: Published) -> Iterator[Metric]:
    """Yield the metrics that Prometheus is given; for a thread of its own."""
    yield from families_of(_PREFIX, _OF_THE_PROCESS, [((), now.snapshot)])
    yield from families_of(_PREFIX, _OF_THE_QUERIES, [((), now.totals.queries)])
    yield from families_of(_PREFIX, _OF_THE_MESSAGES, [((), now.totals.messages)])
    yield from families_of(_PREFIX, _OF_THE_CHURN, [((), now.totals.churn)])
    for name, latency in now.latencies.named():
        kinds = {"raw": latency.raw, "corrected": latency.corrected}
        found = {kind: histogram for kind, histogram in kinds.items() if histogram.count or kind == "raw"}
        what = _WHAT.get(name, f"Latency: {name}.")
        yield histograms(f"{_PREFIX}{name.replace(' ', '_')}_seconds", what, "kind", found)
    targets = [((target.target,), target) for target in now.targets]
    yield from families_of(f"{_PREFIX}target_", _OF_A_TARGET, targets, ("target",))
