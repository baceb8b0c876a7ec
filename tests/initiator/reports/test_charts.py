"""Tests of what the charts of a report show."""

from dataclasses import replace
from typing import Any

import pytest

from common.histogram import Histogram
from initiator.reports.charts import (
    Chart,
    Scale,
    charts_of,
    format_count,
    format_elapsed,
    format_latency,
    format_percentile,
    format_rate,
    per_second,
    short_number,
)
from initiator.reports.history import Curve
from tests.initiator.reports.sample import history


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (7.46, "0:07.5"),
        (59.96, "1:00"),
        (725, "12:05"),
        (11_220, "3:07:00"),
        (2 * 86_400 + 11_220.5, "2d 03:07:00.5"),
    ],
)
def test_elapsed(seconds: float, text: str) -> None:
    assert format_elapsed(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.5, "50 %"), (0.775, "77.5 %"), (0.999, "99.9 %"), (1 - 2.0**-12, "99.9756 %"), (1.0, "100 %")],
)
def test_percentiles(share: float, text: str) -> None:
    assert format_percentile(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (999, "999"), (20_000, "20k"), (1.5e6, "1.5M"), (2e9, "2G")]
)
def test_short_numbers(value: float, text: str) -> None:
    assert short_number(value) == text


def test_numbers_in_full() -> None:
    assert (format_count(1234567), format_rate(1234.56), format_latency(1234.5)) == (
        "1,234,567",
        "1,234.6",
        "1,234.500 ms",
    )


def test_rates_are_not_known_at_the_first_time() -> None:
    assert per_second([1.0, 2.0, 4.0], [10, 30, 31]) == [None, 20.0, 0.5]
    assert per_second([], []) == []


def titles(charts: list[Chart]) -> list[str]:
    return [chart.title for chart in charts]


def quiet_columns() -> dict[str, Any]:
    """Return the columns of a timeline in which nothing has happened but sessions."""
    columns: dict[str, Any] = {}
    for name, values in history().timeline.items():
        if isinstance(values, dict):
            columns[name] = {}
        elif name.endswith(("_p50", "_p95")):
            columns[name] = [None, None, None]
        elif name.startswith(("queries", "messages", "transactions", "sent", "received")):
            columns[name] = [0, 0, 0]
    return columns


def test_only_what_occurred_has_a_chart() -> None:
    quiet = history(**quiet_columns())
    quiet = replace(quiet, curves=[])
    assert titles(charts_of(quiet)) == ["Held sessions", "New sessions"]
    assert titles(charts_of(history())) == [
        "Held sessions",
        "New sessions",
        "Queries",
        "Messages",
        "Short sessions",
        "Traffic",
        "Lost sessions",
        "Failed attempts",
        "Failed queries",
        "Failed messages",
        "Failed short sessions",
        "Latency of queries over time",
        "Latency of messages over time",
        "Latency: query",
        "Latency: ping",
    ]


def test_every_series_has_a_value_for_each_place() -> None:
    for chart in charts_of(history()):
        for series in chart.series:
            assert len(series.values) == len(chart.at), chart.title
            assert len(series.low) == len(series.high) in (0, len(chart.at))


def test_charts_over_time_have_the_numbers_of_the_timeline() -> None:
    held, new, queries, messages, short, traffic, lost, *_ = charts_of(history())
    assert held.at == [0.0, 1.0, 2.0]
    assert [series.values for series in held.series] == [[0, 20, 20], [0, 20, 18]]
    assert new.series[0].values == [None, 25, 3]
    assert [series.values for series in queries.series] == [[0, 100, 100], [None, 90, 100]]
    assert {series.name: series.values for series in messages.series} == {
        "asked for": [0, 40, 40],
        "sent": [None, 30, 35],
        "answered": [None, 25, 35],
    }
    assert {series.name: series.values for series in short.series} == {
        "asked for": [0, 50, 50],
        "completed": [None, 45, 50],
    }
    assert [series.values for series in traffic.series] == [[None, 8000, 8000], [None, 4000, 4000]]
    assert {series.name: series.values for series in lost.series} == {"fin": [0, 1, 1], "rst": [0, 0, 4]}
    assert held.marks == [(0.1, "set 20"), (0.5, 'query 100 name "<b>&" (x2)')]


@pytest.mark.parametrize(
    ("columns", "title", "series"),
    [
        ({"queries_asked_rate": [0, 9, 9]}, "Queries", ["asked for", "answered"]),
        ({"queries_answered": [0, 9, 9]}, "Queries", ["answered"]),
        ({"messages_asked_rate": [0, 9, 9]}, "Messages", ["asked for", "sent"]),
        ({"messages_sent": [0, 9, 9]}, "Messages", ["sent"]),
        ({"messages_sent": [0, 9, 9], "messages_answered": [0, 0, 9]}, "Messages", ["sent", "answered"]),
        ({"transactions_asked_rate": [0, 9, 9]}, "Short sessions", ["asked for", "completed"]),
        ({"transactions_failed": {"rst": [0, 0, 1]}}, "Failed short sessions", ["rst"]),
        ({"messages_failed": {"altered": [0, 0, 1]}}, "Failed messages", ["altered"]),
    ],
)
def test_a_workload_has_a_chart_of_what_is_known_of_it(columns: dict[str, Any], title: str, series: list[str]) -> None:
    """What was asked for and never came is a line along 0; what was not asked for has none."""
    *_, chart = charts_of(replace(history(**{**quiet_columns(), **columns}), curves=[]))
    assert (chart.title, [one.name for one in chart.series]) == (title, series)


@pytest.mark.parametrize(("name", "highest"), [("queries", 7.0), ("messages", 1.5)])
def test_latencies_over_time_are_those_of_the_timeline(name: str, highest: float) -> None:
    chart = next(chart for chart in charts_of(history()) if chart.title == f"Latency of {name} over time")
    assert [one.name for one in chart.series] == ["p50", "p95"]
    assert [one.values[0] for one in chart.series] == [None, None]
    assert chart.series[1].values[2] == highest


def test_both_curves_of_a_latency_are_in_one_chart() -> None:
    chart = next(chart for chart in charts_of(history()) if chart.title == "Latency: query")
    assert [series.name for series in chart.series] == ["corrected", "raw"]
    assert list(chart.at) == sorted(chart.at)
    corrected, raw = (curve for curve in history().curves if curve.name == "query")
    for series, curve in zip(chart.series, (corrected, raw), strict=True):
        assert [value for value in series.values if value is not None] == [
            round(1000 * seconds, 3) for _, seconds, _ in curve.points
        ]


@pytest.mark.parametrize(("tail", "scale"), [(0.002, Scale.LINEAR), (0.9, Scale.LOG)])
def test_a_latency_with_a_long_tail_has_a_logarithmic_axis(tail: float, scale: Scale) -> None:
    histogram = Histogram()
    histogram.record_many([0.001] * 99 + [tail])
    charts = charts_of(replace(history(), curves=[Curve.of("query", "raw", histogram)]))
    assert charts[-1].y.scale is scale


def test_a_run_of_hours_says_so_at_its_axis() -> None:
    short = history()
    long = replace(short, timeline={**short.timeline, "time": [0.0, 1.0, 7200.0]})
    assert charts_of(short)[0].x.title == "time since the start (m:ss)"
    assert charts_of(long)[0].x.title == "time since the start (h:mm:ss)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (3600, "1:00:00"), (86_400, "1d"), (86_400 + 6 * 3600, "1d 06:00"), (86_401, "1d 00:00:01")],
)
def test_a_tick_of_a_day_is_short(seconds: float, text: str) -> None:
    assert charts_of(history())[0].x.tick(seconds) == text
