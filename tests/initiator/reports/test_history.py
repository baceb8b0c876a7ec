"""Tests of what a written report has beside the figures of its moment."""

import json
from dataclasses import dataclass

import pytest

from common.histogram import Histogram
from common.render import as_json
from initiator.reports.history import Curve, curves_of, flat
from tests.initiator.reports.sample import history, latencies


def test_there_is_a_curve_for_all_that_was_measured() -> None:
    assert [(curve.name, curve.kind, curve.count) for curve in curves_of(latencies())] == [
        ("query", "corrected", 500),
        ("query", "raw", 500),
        ("ping", "raw", 40),
    ]


def test_a_curve_rises_and_ends_with_the_highest() -> None:
    for curve in curves_of(latencies()):
        assert curve.points == sorted(curve.points)
        assert curve.points[0][0] == 0.0
        assert curve.points[-1][1] == pytest.approx(curve.highest)
        assert curve.points[-1][2] == curve.count
        assert all(place < 1 for place, _, _ in curve.points)


def test_a_curve_of_one_value_is_one_point() -> None:
    histogram = Histogram()
    histogram.record(0.0040001)
    assert Curve.of("query", "raw", histogram).points == [(0.0, 0.004, 1)]


def test_it_is_json_that_any_program_reads() -> None:
    read = json.loads(as_json(history()), parse_constant=pytest.fail)
    assert read["timeline"]["losses"] == {"fin": [0, 1, 1], "rst": [0, 0, 4]}
    assert read["marks"][0] == {"time": 0.1, "text": "set 20", "times": 1}
    assert read["curves"][0]["points"][0] == [0.0, 0.001, 1]
    assert read["process"]["seed"] == 7


@dataclass(frozen=True)
class _Inner:
    p50: float
    reasons: dict[str, int]


@dataclass(frozen=True)
class _Outer:
    name: str
    latency: _Inner
    parts: tuple[int, ...] = (1, 2)
    end: float | None = None


def test_figures_are_a_row_in_which_nested_ones_have_their_full_names() -> None:
    assert flat(_Outer("a", _Inner(0.5, {"rst": 1}))) == {
        "name": "a",
        "latency.p50": 0.5,
        "latency.reasons.rst": 1,
        "end": None,
    }
