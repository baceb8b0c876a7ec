"""How the figures of a responder's workers become those of the whole; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from common.histogram import Histogram
from common.reasons import WORKER
from common.workers.merge import Rule, add_counts, departed, first, merged
from responder.snapshot import Snapshot

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
