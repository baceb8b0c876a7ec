"""How the figures of a responder's workers become those of the whole; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from common.addresses import Address
from common.histogram import Histogram
from common.reasons import WORKER
from common.workers.merge import Rule, add_counts, departed, first, merged
from responder.snapshot import ListenerRow, Snapshot

# What is not added up: all workers have the same listeners.
RULES: Final[Mapping[str, Rule]] = {
    "age": max,
    "listeners": max,
    "max_depth": max,
    "listeners_max_depth": max,
    "descriptors": max,
    "longest_pause": max,
    "p50": max,
    "p99": max,
    "listener": first,
    "mode": first,
}

# What is of the moment, and ends with a worker.
GAUGES: Final = (
    "age",
    "held",
    "listeners",
    "hashsize",
    "max_depth",
    "listeners_max_depth",
    "rate",
    "exhausted",
    "paused",
)

# What a listener has counted, as workers tell it, by plain (host, port): the fields of its row that are numbers. Rows
# themselves take ten times as long to send and to read.
Counts = tuple[int, ...]
_COUNTS: Final = ("accepted", "held", "received", "sent", "messages")
NO_COUNTS: Final[Counts] = (0, 0, 0, 0, 0)
AllCounts = Mapping[tuple[str, int], Counts]


def listener_row(address: Address, mode: str, counts: Sequence[Counts]) -> ListenerRow:
    """Return a listener's row out of what it has counted at several places."""
    totals = map(sum, zip(NO_COUNTS, *counts, strict=True))
    return ListenerRow(listener=str(address), mode=mode, **dict(zip(_COUNTS, totals, strict=True)))


def remaining_counts(counts: Counts) -> Counts:
    """Return what remains of a listener's counts in a worker that has ended."""
    accepted, _, *rest = counts
    return (accepted, 0, *rest)


def add_up(one: Counts, other: Counts) -> Counts:
    """Return the sums of what a listener has counted at two places."""
    return tuple(map(sum, zip(one, other, strict=True)))


def merge_snapshots(snapshots: Sequence[Snapshot], latencies: Sequence[Histogram]) -> Snapshot:
    """Return the figures of the whole; `latencies` are those of the markers."""
    whole = merged(snapshots, RULES)
    if not whole.marker:
        return whole
    latency = Histogram()
    latency.merge(*latencies)
    p50, p99 = latency.percentiles((50, 99))
    return replace(whole, marker=replace(whole.marker, p50=p50, p99=p99))


def remains(snapshot: Snapshot) -> Snapshot:
    """Return what remains of the figures of a worker that has ended: what it held is lost."""
    left = replace(departed(snapshot, GAUGES), dump=None)
    lost = {WORKER: snapshot.held} if snapshot.held else {}
    return replace(left, losses=add_counts([snapshot.losses, lost]))
