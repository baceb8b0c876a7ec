"""How the figures of an initiator's workers become those of the whole; pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from common.histogram import Histogram
from common.reasons import WORKER
from common.workers.merge import Rule, add_counts, chain, departed, first, merged
from initiator.churn_figures import Tally
from initiator.latencies import Latency
from initiator.snapshot import Snapshot
from initiator.totals import Totals

# What is not added up. The targets are the same in all workers; how many of them pause is known of each worker alone,
# so the most that one has is shown.
RULES: Final[Mapping[str, Rule]] = {
    "age": max,
    "targets": max,
    "descriptors": max,
    "pausing_targets": max,
    "targets_without_ports": max,
    "round_trip_p50": max,
    "round_trip_p99": max,
    "query_p95": max,
    "message_p95": max,
    "max_depth": max,
    "longest_pause": max,
    "seconds": max,
    "SendFigures.rate": max,
    "lifetime": first,
    "ping_interval": first,
    "probes": chain,
}

# What is of the moment, and ends with a worker.
GAUGES: Final = (
    "age",
    "asked",
    "held",
    "ping",
    "rate",
    "attempts",
    "confirmed",
    "confirmed_last_minute",
    "pausing_targets",
    "exhausted",
    "targets_without_ports",
    "hashsize",
    "max_depth",
    "receive_rate",
    "send_rate",
    "asked_rate",
    "sent_rate",
    "answered_rate",
    "running",
    "sending",
    "sessions",
    "outstanding",
    "probes",
)

# Percentiles in a snapshot: the latency, its kind, the percent. They cannot be merged, the counts behind them can.
PERCENTILES: Final = {
    "round_trip_p50": ("ping", "raw", 50.0),
    "round_trip_p99": ("ping", "raw", 99.0),
    "query_p95": ("query", "corrected", 95.0),
    "message_p95": ("message", "corrected", 95.0),
}

# What may run over the held sessions: one at a time, and what another one left is forgotten when it begins.
_OWNERS: Final = ("query", "send")


def merge_snapshots(snapshots: Sequence[Snapshot], latencies: Mapping[str, Latency]) -> Snapshot:
    """Return the figures of the whole; `latencies` are merged, and those that PERCENTILES names."""
    whole = merged(snapshots, RULES)
    found: dict[str, Any] = {
        name: getattr(latencies[latency], kind).percentiles((percent,))[0]
        for name, (latency, kind, percent) in PERCENTILES.items()
    }
    query, send = whole.query and whole.query.with_rates(), whole.send and whole.send.with_rates()
    return replace(whole, query=query, send=send, **found)


def merge_latency(parts: Sequence[Latency]) -> Latency:
    """Return one latency with all counts."""
    return Latency(
        merge_histograms([part.corrected for part in parts]),
        merge_histograms([part.raw for part in parts]),
    )


def merge_tallies(parts: Sequence[Tally]) -> Tally:
    """Return what has become of all transactions; how long it took, and how busy a process was, is the most."""
    return merged(parts, _TALLY_RULES)


def merge_histograms(parts: Sequence[Histogram]) -> Histogram:
    """Return one histogram with all counts."""
    whole = Histogram()
    whole.merge(*parts)
    return whole


_TALLY_RULES: Final[Mapping[str, Rule]] = {
    "number": first,
    "seconds": max,
    "busy": max,
    "time_wait": max,
    "late": merge_histograms,
    "connect": merge_latency,
    "first_byte": merge_latency,
    "whole": merge_latency,
}


def remains(snapshot: Snapshot) -> Snapshot:
    """Return what remains of the figures of a worker that has ended: what it held is lost."""
    left = departed(snapshot, GAUGES)
    query = left.query and replace(left.query, lost=left.query.lost + _open_queries(snapshot))
    send = left.send and replace(left.send, lost=left.send.lost + _open_messages(snapshot))
    losses = add_counts([snapshot.losses, {WORKER: snapshot.held} if snapshot.held else {}])
    left = replace(left, lifetime=None, connect_rate=None, ping_interval=None)
    return replace(left, losses=losses, query=query, send=send, churn=None, dump=None)


def remaining_totals(totals: Totals, snapshot: Snapshot, tally: Tally | None) -> Totals:
    """Return what remains of the totals of a worker that has ended: what was under way by its figures is lost."""
    queries, messages, churn = totals.queries, totals.messages, totals.churn
    failed = Counter({WORKER: tally.under_way} if tally and tally.under_way else {})
    return Totals(
        queries=replace(queries, lost=queries.lost + _open_queries(snapshot)),
        messages=replace(messages, lost=messages.lost + _open_messages(snapshot)),
        churn=replace(churn, failed=churn.failed + failed),
    )


def remaining_tally(tally: Tally) -> Tally:
    """Return what remains of the tally of a worker that has ended: what was under way has failed."""
    failed = add_counts([tally.failed, {WORKER: tally.under_way} if tally.under_way else {}])
    return replace(tally, failed=failed, under_way=0)


def _open_queries(snapshot: Snapshot) -> int:
    """Return how many queries have no answer yet."""
    return snapshot.query.outstanding if snapshot.query else 0


def _open_messages(snapshot: Snapshot) -> int:
    """Return how many messages have no answer yet; an echo that is wrong ends the wait too, but for a second one."""
    send = snapshot.send
    if not send or not send.running or not send.awaiting:
        return 0
    wrong = sum(send.wrong.values()) - send.wrong.get("repeated", 0)
    ended = send.answered + send.lost + send.unanswered + wrong
    return max(0, send.sent - ended)


def without_runs(snapshot: Snapshot, name: str) -> Snapshot:
    """Return the figures without those of earlier runs that the one of this name takes the place of."""
    forgotten: dict[str, Any] = dict.fromkeys(_OWNERS if name in _OWNERS else (name,))
    return replace(snapshot, **forgotten)
