"""What the charts of a report show, whoever draws them: series of points, axes, marks; pure."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any, Final

from common.units import format_bandwidth
from initiator.reports.history import Curve, History

# A latency's axis is logarithmic where the greatest value is so many times the median.
_WIDE: Final = 20

_DAY: Final = 86_400

# The name of what was asked for: it is drawn in the background.
ASKED: Final = "asked for"

Values = Sequence[float | None]


class Scale(Enum):
    """How values become places on an axis."""

    LINEAR = "linear"
    LOG = "log"
    TIME = "time"
    PERCENTILE = "percentile"


@dataclass(frozen=True, slots=True)
class Axis:
    """A title with its unit, a scale, how a value is written in full, and at a tick; `whole` has no ticks between.

    Times are in seconds; percentiles 0-1 lie at the logarithm of 1 / (1 - p), as is usual for latencies.
    """

    title: str
    scale: Scale
    shown: Callable[[float], str]
    tick: Callable[[float], str]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """A named line; a value that is None leaves a gap. A line of `steps` has each since the place before.

    `low` and `high` are the bounds of what was seen since the place before, where they are known.
    """

    name: str
    values: Values
    steps: bool = False
    low: Values = ()
    high: Values = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the same places `at` on the x axis, rising; `kind` is what `plot` knows it by; `note` explains."""

    kind: str
    title: str
    note: str
    x: Axis
    y: Axis
    at: Sequence[float]
    series: list[Series]
    marks: list[tuple[float, str]] = field(default_factory=list)


def charts_of(history: History) -> list[Chart]:
    """Return the charts that have something to show, those over time first."""
    return [*_over_time(history), *_by_percentile(history.curves)]


def format_elapsed(seconds: float) -> str:
    """Return a time since the start: `0:00`, `0:07.5`, `12:05`, `3:07:00`, `2d 03:07:00`."""
    whole, part = divmod(round(seconds, 1), 1)
    minutes, second = divmod(int(whole), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    fraction = f".{round(part * 10)}" if round(part * 10) else ""
    if days:
        return f"{days}d {hour:02}:{minute:02}:{second:02}{fraction}"
    if hours:
        return f"{hours}:{minute:02}:{second:02}{fraction}"
    return f"{minute}:{second:02}{fraction}"


def _clock(seconds: float) -> str:
    """Return a time for a tick: without seconds and hours that are none, from a day on."""
    text = format_elapsed(seconds)
    return text.removesuffix(":00").removesuffix(" 00:00") if seconds >= _DAY else text


def format_percentile(share: float) -> str:
    """Return a share as a percentage with as many nines as it has: `50 %`, `99.9 %`, `99.9756 %`."""
    left = 100 * (1 - share)
    digits = max(0, 2 - math.floor(math.log10(left))) if 0 < left < 100 else 0
    text = f"{100 * share:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def format_count(value: float) -> str:
    """Return a whole number with commas between its thousands."""
    return f"{value:,.0f}"


def format_rate(value: float) -> str:
    """Return a rate with a digit behind the point."""
    return f"{value:,.1f}"


def format_latency(milliseconds: float) -> str:
    """Return a latency to the microsecond."""
    return f"{milliseconds:,.3f} ms"


def short_number(value: float) -> str:
    """Return a number for a tick: `0`, `0.25`, `150`, `20k`, `1.5M`."""
    for size, unit in _SI:
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"


def per_second(time: Sequence[float], totals: Sequence[float]) -> list[float | None]:
    """Return how fast totals grew up to each time, which is not known for the first one."""
    points = list(zip(time, totals, strict=True))
    grown = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairwise(points)]
    return [None, *grown] if points else []


_SI: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"))

_COUNTS: Final = Axis("sessions", Scale.LINEAR, format_count, short_number, whole=True)
_TOTALS: Final = Axis("total since the start", Scale.LINEAR, format_count, short_number, whole=True)
_RATES: Final = Axis("per second", Scale.LINEAR, format_rate, short_number)
_BITS: Final = Axis("bits per second", Scale.LINEAR, lambda bits: format_bandwidth(bits / 8), short_number)
_PERCENTILE: Final = Axis("percentile", Scale.PERCENTILE, format_percentile, format_percentile)


def _over_time(history: History) -> Iterator[Chart]:
    timeline = history.timeline
    time = timeline["time"]
    clock = "h:mm:ss" if time and time[-1] >= 3600 else "m:ss"
    elapsed = Axis(f"time since the start ({clock})", Scale.TIME, format_elapsed, _clock)
    marks = [(mark.time, f"{mark.text} (x{mark.times})" if mark.times > 1 else mark.text) for mark in history.marks]

    def chart(kind: str, title: str, note: str, y: Axis, *series: Series) -> Chart:
        return Chart(kind, title, note, elapsed, y, time, list(series), marks)

    def rate(name: str, totals: Sequence[float], factor: int = 1) -> Series:
        return Series(name, [None if value is None else factor * value for value in per_second(time, totals)])

    yield chart(
        "held",
        "Held sessions",
        "How many were asked for, and how many were held.",
        _COUNTS,
        Series(ASKED, timeline["asked"], steps=True),
        Series("held", timeline["held"], low=timeline["lowest_held"], high=timeline["highest_held"]),
    )
    yield chart("rates", "New sessions", "Established a second.", _RATES, rate("established", timeline["established"]))
    yield from _workloads(timeline, chart, rate)
    if any(timeline["sent"]) or any(timeline["received"]):
        yield chart(
            "rates",
            "Traffic",
            "What went over the sessions, without the headers of TCP and IP.",
            _BITS,
            rate("sent", timeline["sent"], 8),
            rate("received", timeline["received"], 8),
        )
    yield from _failures(timeline, chart)
    yield from _percentiles(timeline, chart)


def _workloads(
    timeline: Mapping[str, Any], chart: Callable[..., Chart], rate: Callable[..., Series]
) -> Iterator[Chart]:
    """Yield a chart for each workload that has done something: what was asked for, and what became of it a second."""
    for name, title, note, counted in (
        ("queries", "Queries", "How many were asked for, and how many were answered a second.", ("answered",)),
        ("messages", "Messages", "How many were asked for, sent and answered a second.", ("sent", "answered")),
        (
            "transactions",
            "Short sessions",
            "How many were asked for by churn or saturate, and how many were completed a second.",
            ("completed",),
        ),
    ):
        asked, (first, *others) = timeline[f"{name}_asked_rate"], counted
        if any(asked) or any(timeline[f"{name}_{first}"]):
            shown = [first, *(each for each in others if any(timeline[f"{name}_{each}"]))]
            known = [Series(ASKED, asked, steps=True)] if any(asked) else []
            yield chart(
                "rates", title, note, _RATES, *known, *(rate(each, timeline[f"{name}_{each}"]) for each in shown)
            )


def _failures(timeline: Mapping[str, Any], chart: Callable[..., Chart]) -> Iterator[Chart]:
    """Yield a chart for each kind of failure that occurred, of totals: what is at the end is their sum."""
    for name, title, note in (
        ("losses", "Lost sessions", "Established sessions that ended without being asked to, in total, by reason."),
        ("failures", "Failed attempts", "Attempts that came to nothing, in total, by reason."),
        ("queries_failed", "Failed queries", "Queries that were not answered, in total, by reason."),
        ("messages_failed", "Failed messages", "Messages not sent when due, or not answered, in total, by reason."),
        ("transactions_failed", "Failed short sessions", "Those that were not completed, in total, by reason."),
    ):
        if timeline[name]:
            series = [Series(reason, counts, steps=True) for reason, counts in timeline[name].items()]
            yield chart("failures", title, note, _TOTALS, *series)


def _percentiles(timeline: Mapping[str, Any], chart: Callable[..., Chart]) -> Iterator[Chart]:
    """Yield a chart over time for each latency that was measured."""
    for name, what in (("query", "queries"), ("message", "messages")):
        p50, p95 = timeline[f"{name}_p50"], timeline[f"{name}_p95"]
        if any(value is not None for value in p95):
            yield chart(
                "latency",
                f"Latency of {what} over time",
                "Percentiles of what was answered within a second, corrected; a point that stands for several seconds"
                " has the highest of them.",
                _latency_axis(p95, statistics.median(value for value in p50 if value is not None)),
                Series("p50", _milliseconds(p50)),
                Series("p95", _milliseconds(p95)),
            )


def _by_percentile(curves: Sequence[Curve]) -> Iterator[Chart]:
    """Yield a chart for each latency, with its corrected and its raw curve over the places of both."""
    names = dict.fromkeys(curve.name for curve in curves)
    for name in names:
        of_name = [curve for curve in curves if curve.name == name]
        at = sorted({place for curve in of_name for place, _, _ in curve.points})
        series = []
        for curve in of_name:
            values = {place: seconds for place, seconds, _ in curve.points}
            series.append(Series(curve.kind, _milliseconds([values.get(place) for place in at])))
        yield Chart(
            "latency",
            f"Latency: {name}",
            _explained(of_name),
            _PERCENTILE,
            _latency_axis(
                [curve.highest for curve in of_name],
                max(seconds for curve in of_name for place, seconds, _ in curve.points if place <= 0.5),
            ),
            at,
            series,
        )


def _explained(curves: Sequence[Curve]) -> str:
    return "; ".join(
        f"{curve.kind}: {curve.count:,} measured, highest {format_latency(1000 * curve.highest)}" for curve in curves
    )


def _latency_axis(seconds: Values, median: float) -> Axis:
    """Return the axis of latencies, which is logarithmic where a linear one would hide most of them."""
    known = [value for value in seconds if value is not None]
    if max(known) > _WIDE * median:
        return Axis("latency (ms, logarithmic)", Scale.LOG, format_latency, "{:,.10g}".format)
    return Axis("latency (ms)", Scale.LINEAR, format_latency, "{:,.10g}".format)


def _milliseconds(values: Values) -> list[float | None]:
    return [None if value is None else round(1000 * value, 3) for value in values]
