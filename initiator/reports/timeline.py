"""What an initiator did over time: a sample a second in bounded memory, and every command that changed something."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from common.histogram import Histogram
from initiator.latencies import Latencies
from initiator.snapshot import Snapshot
from initiator.totals import Totals

# Samples that are kept at the most, and half as many at the least: twenty minutes of seconds, a day of 128 s each. A
# chart across a screen has hardly more dots, and to halve so many takes three milliseconds.
SAMPLES: Final = 1200

# Commands that are kept, the latest ones.
MARKS: Final = 500


class Sample(NamedTuple):
    """The figures at `time`, in seconds since the start, and what is known of the stretch that ends there.

    All counts are totals since the start, `sent` and `received` of bytes. `lowest_held` and `highest_held` are those of
    the stretch. What a workload was asked for is a rate, in events a second, 0.0 where none was asked for;
    `transactions` are the sessions that churn opens. The percentiles, in seconds, are those of the answers of one
    second, corrected, None where there were none; a stretch has the highest of its seconds.
    """

    time: float
    asked: int
    held: int
    lowest_held: int
    highest_held: int
    established: int
    losses: Mapping[str, int]
    failures: Mapping[str, int]
    sent: int
    received: int
    queries_asked_rate: float
    queries_answered: int
    queries_failed: Mapping[str, int]
    messages_asked_rate: float
    messages_sent: int
    messages_answered: int
    messages_failed: Mapping[str, int]
    transactions_asked_rate: float
    transactions_completed: int
    transactions_failed: Mapping[str, int]
    query_p50: float | None
    query_p95: float | None
    message_p50: float | None
    message_p95: float | None


@dataclass(frozen=True, slots=True)
class Mark:
    """A command, when it was typed (seconds since the start), and how often in succession."""

    time: float
    text: str
    times: int = 1


class Timeline:
    """Samples, of which neighbours become one when there are too many; the latest commands; `earlier` are left out."""

    def __init__(self, samples: int = SAMPLES, marks: int = MARKS) -> None:
        self.samples: list[Sample] = []
        self.marks: deque[Mark] = deque(maxlen=marks)
        self.earlier = 0
        self._most = samples
        self._seconds = 1
        self._queries = _Recent()
        self._messages = _Recent()

    def take(self, time: float, now: Snapshot, totals: Totals, latencies: Latencies) -> None:
        """Add the figures of a moment, not before the last ones; `latencies` are of all since some time before.

        To be called at most some times a second.
        """
        query_p50, query_p95 = self._queries.percentiles(latencies.query.corrected)
        message_p50, message_p95 = self._messages.percentiles(latencies.message.corrected)
        self.add(
            Sample(
                time=round(time, 3),
                asked=now.asked,
                held=now.held,
                lowest_held=now.held,
                highest_held=now.held,
                established=now.established,
                losses=now.losses,
                failures=now.failures,
                sent=now.traffic.sent,
                received=now.traffic.received,
                queries_asked_rate=now.queries_asked_rate,
                queries_answered=totals.queries.answered,
                queries_failed=totals.queries.failed,
                messages_asked_rate=now.messages_asked_rate,
                messages_sent=totals.messages.sent,
                messages_answered=totals.messages.answered,
                messages_failed={
                    **{f"not sent, {reason}": count for reason, count in totals.messages.missed.items()},
                    **totals.messages.failed,
                },
                transactions_asked_rate=now.transactions_asked_rate,
                transactions_completed=totals.churn.completed,
                transactions_failed=totals.churn.failed,
                query_p50=query_p50,
                query_p95=query_p95,
                message_p50=message_p50,
                message_p95=message_p95,
            )
        )

    def add(self, sample: Sample) -> None:
        """Add a sample that is not before the last one."""
        _append(self.samples, sample, self._seconds)
        while len(self.samples) > self._most:
            self._seconds *= 2
            thinned: list[Sample] = []
            for kept in self.samples:
                _append(thinned, kept, self._seconds)
            self.samples = thinned

    def mark(self, time: float, text: str) -> None:
        """Add a command."""
        last = self.marks[-1] if self.marks else None
        if last and last.text == text:
            self.marks[-1] = replace(last, times=last.times + 1)
            return
        self.earlier += len(self.marks) == self.marks.maxlen
        self.marks.append(Mark(round(time, 3), text))


class _Recent:
    """What was measured since the last time that it was asked for."""

    def __init__(self) -> None:
        self._before: Histogram | None = None

    def percentiles(self, latency: Histogram) -> tuple[float, float] | tuple[None, None]:
        """Return the p50 and the p95, in seconds."""
        before, self._before = self._before, latency
        recent = latency
        if before and before.count:
            recent = latency.since(before) if latency.count != before.count else Histogram()
        if not recent.count:
            return None, None
        p50, p95 = recent.percentiles((50, 95))
        return p50, p95


def columns(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the samples as one list for each figure, those by reason as a list for each reason that occurred."""
    made: dict[str, Any] = {}
    for name in Sample._fields:
        values = [getattr(sample, name) for sample in samples]
        if values and isinstance(values[0], Mapping):
            reasons = sorted({reason for counts in values for reason, count in counts.items() if count})
            made[name] = {reason: [counts.get(reason, 0) for counts in values] for reason in reasons}
        else:
            made[name] = values
    return made


def _append(samples: list[Sample], sample: Sample, seconds: int) -> None:
    """Add a sample, or let the last one become both where they are of the same stretch of so many seconds."""
    last = samples[-1] if samples else None
    if last and _stretch(last.time, seconds) == _stretch(sample.time, seconds):
        samples[-1] = sample._replace(
            lowest_held=min(last.lowest_held, sample.lowest_held),
            highest_held=max(last.highest_held, sample.highest_held),
            query_p50=_highest(last.query_p50, sample.query_p50),
            query_p95=_highest(last.query_p95, sample.query_p95),
            message_p50=_highest(last.message_p50, sample.message_p50),
            message_p95=_highest(last.message_p95, sample.message_p95),
        )
    else:
        samples.append(sample)


def _stretch(time: float, seconds: int) -> float:
    """Return which stretch a moment belongs to; a whole second and what is near it are in the same one."""
    return (time + 0.5) // seconds


def _highest(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)
