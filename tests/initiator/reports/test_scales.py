"""Tests of scales and ticks."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.reports.charts import Axis, Scale, format_elapsed, format_percentile, short_number
from initiator.reports.scales import Ruler, nice_step, ruler


def axis(scale: Scale, *, whole: bool = False) -> Axis:
    tick = {Scale.TIME: format_elapsed, Scale.PERCENTILE: format_percentile}.get(scale, short_number)
    return Axis("anything", scale, str, tick, whole)


def texts(made: Ruler) -> list[str]:
    return [text for _, text in made.ticks]


positive = st.floats(1e-6, 1e12)


@given(positive, st.integers(1, 20))
def test_a_nice_step_is_1_2_or_5_and_the_least_that_does(span: float, most: int) -> None:
    step = nice_step(span, most)
    leading = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(leading == pytest.approx(nice) for nice in (1, 2, 5))
    assert span / step <= most * (1 + 1e-6)
    assert span / step > most / 2.5 * (1 - 1e-6)


@given(
    st.sampled_from([Scale.LINEAR, Scale.TIME, Scale.LOG]),
    st.lists(positive, min_size=1, max_size=20),
    st.integers(2, 12),
)
def test_all_values_have_a_place_and_order_is_kept(scale: Scale, values: list[float], most: int) -> None:
    made = ruler(axis(scale), values, most)
    places = [made.place(value) for value in sorted(values)]
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert all(one <= other for one, other in pairwise(places))
    marked = [made.place(value) for value, _ in made.ticks]
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in marked)
    assert all(one < other for one, other in pairwise(marked))
    assert len(marked) <= most + 2


@given(st.lists(st.floats(0, 1 - 1e-9), min_size=1))
def test_percentiles_have_a_place_and_order_is_kept(values: list[float]) -> None:
    made = ruler(axis(Scale.PERCENTILE), values, 5)
    places = [made.place(value) for value in sorted(values)]
    assert all(0 <= place <= 1 + 1e-9 for place in places)
    assert all(one <= other for one, other in pairwise(places))


@pytest.mark.parametrize(
    ("scale", "values", "most", "expected"),
    [
        (Scale.LINEAR, [0], 5, ["0", "1"]),
        (Scale.LINEAR, [6000], 5, ["0", "2k", "4k", "6k", "8k"]),
        (Scale.LINEAR, [0.3], 5, ["0", "0.1", "0.2", "0.3", "0.4"]),
        (Scale.LINEAR, [2_400_000], 5, ["0", "500k", "1M", "1.5M", "2M", "2.5M"]),
        (Scale.TIME, [2.0], 4, ["0:00", "0:00.5", "0:01", "0:01.5", "0:02"]),
        (Scale.TIME, [23.4], 8, ["0:00", "0:05", "0:10", "0:15", "0:20"]),
        (Scale.TIME, [5400], 4, ["0:00", "30:00", "1:00:00", "1:30:00"]),
        (Scale.TIME, [3 * 86400], 4, ["0:00", "1d 00:00:00", "2d 00:00:00", "3d 00:00:00"]),
        (Scale.LOG, [0.3, 7], 6, ["0.2", "0.5", "1", "2", "5", "10"]),
        (Scale.LOG, [0.03, 700], 5, ["0.1", "1", "10", "100", "1k"]),
        (Scale.LOG, [5], 5, ["5", "10", "20", "50"]),
        (Scale.PERCENTILE, [0.5], 5, ["0 %", "50 %", "90 %"]),
        (Scale.PERCENTILE, [0.9995], 5, ["0 %", "50 %", "90 %", "99 %", "99.9 %"]),
        (Scale.PERCENTILE, [0.99999], 5, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]),
    ],
)
def test_ticks(scale: Scale, values: list[float], most: int, expected: list[str]) -> None:
    assert texts(ruler(axis(scale), values, most)) == expected


def test_whole_numbers_have_no_ticks_between() -> None:
    assert texts(ruler(axis(Scale.LINEAR, whole=True), [2], 5)) == ["0", "1", "2", "3"]


def test_each_nine_is_as_wide_as_the_one_before() -> None:
    made = ruler(axis(Scale.PERCENTILE), [0.9999], 5)
    places = [made.place(share) for share in (0, 0.9, 0.99, 0.999, 0.9999)]
    assert places == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_what_is_not_known_is_passed_over() -> None:
    assert ruler(axis(Scale.LINEAR), [None, 3, None], 5).high == 4
    assert ruler(axis(Scale.LINEAR), [None], 5).place(0) == 0
