"""What a written report has beside the figures of its moment: the timeline, finished runs, whole latency curves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from typing import Any, Self

from common.hdr import percentile_rows
from common.histogram import Histogram
from initiator.latencies import Latencies
from initiator.reports.timeline import Mark, Sample, columns
from initiator.settings import Settings
from initiator.snapshot import TargetSnapshot

# A cell of a table.
Cell = str | int | float | bool | None
Row = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Curve:
    """A latency by percentile: `points` are (percentile 0-1, seconds, values not above), rising, without 1.0 itself."""

    name: str
    kind: str
    count: int
    highest: float
    points: list[tuple[float, float, int]]

    @classmethod
    def of(cls, name: str, kind: str, histogram: Histogram) -> Self:
        """Return the curve of a histogram; `kind` is corrected or raw."""
        points = [
            (row.percentile, round(row.value_ms / 1000, 6), row.total_count)
            for row in percentile_rows(histogram)
            if isfinite(row.inverse)
        ]
        return cls(name, kind, histogram.count, histogram.highest, points)


@dataclass(frozen=True, slots=True)
class Table:
    """What a report shows of a run: the figures that matter most, in rows of the same columns, and a line on it all."""

    rows: list[Row]
    summary: str = ""


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run: what it was, its settings in one line, what is shown of it, and all its figures, a dataclass."""

    title: str
    settings: str
    table: Table
    figures: object


@dataclass(frozen=True, slots=True)
class History:
    """How to repeat it, and all that happened; `begun` is an ISO time, `timeline` has a list for each figure.

    Times are in seconds since then. `targets` are the first so many, `earlier_marks` how many commands were left out.
    """

    begun: str
    command: str
    process: Settings
    targets: list[TargetSnapshot]
    timeline: dict[str, Any]
    marks: list[Mark]
    earlier_marks: int
    runs: list[FinishedRun]
    curves: list[Curve]


def history_of(samples: Sequence[Sample], latencies: Latencies, **rest: Any) -> History:
    """Return the history with these samples, the curves of all that was measured, and the rest as it is."""
    return History(timeline=columns(samples), curves=list(curves_of(latencies)), **rest)


def curves_of(latencies: Latencies) -> Iterator[Curve]:
    """Yield the curves of all that was measured."""
    for name, latency in latencies.named():
        for kind, histogram in (("corrected", latency.corrected), ("raw", latency.raw)):
            if histogram.count:
                yield Curve.of(name, kind, histogram)


def flat(figures: object) -> Row:
    """Return the figures of a dataclass as a row; those of nested ones have their full names, lists are left out."""
    return dict(_flat("", figures))


def _flat(name: str, value: object) -> Iterator[tuple[str, Cell]]:
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), each)
    elif value is None or isinstance(value, (str, int, float)):
        yield name, value
