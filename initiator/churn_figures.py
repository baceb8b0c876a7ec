"""Frozen figures of churn: what was asked for, what became of it, how long it took."""

from dataclasses import dataclass, fields
from typing import Final

from common.histogram import Histogram
from initiator.latencies import Latency

# What those are counted under that no port was left for.
OUT_OF_PORTS: Final = "out of ports"


@dataclass(frozen=True, slots=True)
class Summary:
    """A latency of so many transactions, in seconds; all 0.0 where there is none."""

    count: int
    lowest: float
    p50: float
    p90: float
    p99: float
    highest: float
    mean: float


@dataclass(frozen=True, slots=True)
class Phase:
    """A latency counted from when the transaction was due (corrected), and from when it really began (raw)."""

    corrected: Summary
    raw: Summary


@dataclass(frozen=True, slots=True)
class ChurnCounts:
    """What became of the transactions at one rate.

    `due` were due by the schedule, `unbegun` of them were given up because their time was over, `under_way` have not
    ended yet. `failed` counts by reason; `stopped` were given up by a person. `empty` completed without a byte of
    answer.
    """

    due: int
    begun: int
    completed: int
    empty: int
    failed: dict[str, int]
    under_way: int
    unbegun: int
    stopped: int


@dataclass(frozen=True, slots=True)
class Tally(ChurnCounts):
    """The counts of one rate so far; the other fields are as in ChurnRow, latencies with all counts.

    `number` is that of the rate, which tells it from others of the same initiator. Those of several processes can be
    merged, for nothing is summed up yet.
    """

    number: int
    asked: float
    seconds: float
    sent: int
    received: int
    busy: float
    late: Histogram
    connect: Latency
    first_byte: Latency
    whole: Latency
    time_wait: int | None


@dataclass(frozen=True, slots=True)
class ChurnRow(ChurnCounts):
    """One rate (1/s) that was tried for `seconds`; latencies are those of completed transactions alone.

    `achieved` is how many were completed a second, `sent` and `received` are bytes. `late_p99` is how late they were
    begun, in seconds, `busy` the share of a core that the process used meanwhile, of several the busiest one.
    `time_wait` is how many sessions of the host were in TIME_WAIT at the end, None where no port was lacking.
    """

    asked: float
    seconds: float
    achieved: float
    sent: int
    received: int
    late_p99: float
    busy: float
    connect: Phase
    first_byte: Phase
    whole: Phase
    time_wait: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The highest rate (1/s) that still did, 0 for none, the lowest that did not, and why not."""

    good: float
    bad: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class ChurnFigures:
    """A run of some rates: those that are over, the one under way, and the verdict of a search for a rate.

    `seconds_left` are those until no more of the one under way are begun. While it rests between two rates there is no
    `now`, and they are those until the next one.
    """

    name: str
    running: bool
    rows: tuple[ChurnRow, ...]
    now: ChurnRow | None
    seconds_left: float
    verdict: Verdict | None

    @property
    def all_rows(self) -> tuple[ChurnRow, ...]:
        """The rates that are over, and the one under way."""
        return (*self.rows, self.now) if self.now else self.rows


def failed_of(row: ChurnCounts) -> dict[str, int]:
    """Return all that was due and came to nothing, by reason: what was begun, what was not, what a person stopped."""
    counts = {**row.failed, "not begun in time": row.unbegun, "stopped": row.stopped}
    return {reason: count for reason, count in counts.items() if count}


def counts_of(row: ChurnCounts) -> ChurnCounts:
    """Return the counts alone."""
    return ChurnCounts(**{item.name: getattr(row, item.name) for item in fields(ChurnCounts)})


def row_of(tally: Tally) -> ChurnRow:
    """Return what a tally shows."""
    return ChurnRow(
        asked=tally.asked,
        seconds=tally.seconds,
        achieved=tally.completed / tally.seconds if tally.seconds else 0.0,
        due=tally.due,
        begun=tally.begun,
        completed=tally.completed,
        empty=tally.empty,
        failed=tally.failed,
        under_way=tally.under_way,
        unbegun=tally.unbegun,
        stopped=tally.stopped,
        sent=tally.sent,
        received=tally.received,
        late_p99=tally.late.percentiles((99,))[0],
        busy=tally.busy,
        connect=_phase(tally.connect),
        first_byte=_phase(tally.first_byte),
        whole=_phase(tally.whole),
        time_wait=tally.time_wait,
    )


def _phase(latency: Latency) -> Phase:
    return Phase(_summary(latency.corrected), _summary(latency.raw))


def _summary(histogram: Histogram) -> Summary:
    p50, p90, p99 = histogram.percentiles((50, 90, 99))
    return Summary(histogram.count, histogram.lowest, p50, p90, p99, histogram.highest, histogram.mean)
