"""Tests of charts as SVG."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.reports.charts import Chart, Series, charts_of
from initiator.reports.svg import BROAD, SIZES, Size, path_of, styled, svg_of
from tests.initiator.reports.sample import HOSTILE, history

points = st.lists(st.none() | st.tuples(st.floats(0, 999), st.floats(0, 999)), max_size=50)


def drawn(chart: Chart, size: Size = SIZES[0]) -> ElementTree.Element:
    return ElementTree.fromstring(svg_of(chart, size))


def places_of(path: str) -> int:
    """Return how many points a path goes through."""
    return len(re.findall("[MLH]", path))


def test_a_path_goes_through_its_points() -> None:
    assert path_of([(1, 2), (3.25, 4.04), (5, 6)]) == "M1 2L3.2 4L5 6"
    assert path_of([(1, 2), (3, 4)], steps=True) == "M1 2V4H3"


def test_a_gap_ends_a_path_and_a_point_alone_is_a_dot() -> None:
    assert path_of([(1, 2), (3, 4), None, (5, 6), None, (7, 8)]) == "M1 2L3 4M5 6h0M7 8h0"
    assert path_of([None, None]) == ""


@given(points, st.booleans())
def test_a_path_has_every_point_there_is(given_points: list[tuple[float, float] | None], steps: bool) -> None:
    path = path_of(given_points, steps=steps)
    assert places_of(path) == sum(point is not None for point in given_points)
    assert re.fullmatch(r"([MLHVh](\d+(\.\d)?( \d+(\.\d)?)?))*", path)


@pytest.mark.parametrize("size", [BROAD, *SIZES], ids=lambda size: size.name)
@pytest.mark.parametrize("chart", charts_of(history()), ids=lambda chart: chart.title)
def test_a_drawing_is_whole(chart: Chart, size: Size) -> None:
    svg = drawn(chart, size)
    assert svg.get("viewBox") == f"0 0 {size.width:g} {size.height:g}"
    texts = [text.text for text in svg.iter("text")]
    assert chart.x.title in texts
    assert chart.y.title in texts
    lines = [path for path in svg.iter("path") if "line" in str(path.get("class")).split()]
    assert len(lines) == len(chart.series)
    for line, (style, series) in zip(lines, styled(chart.series), strict=True):
        assert line.get("class") == f"line s{style}"
        assert places_of(str(line.get("d"))) == sum(value is not None for value in series.values)
    numbers = [float(number) for path in svg.iter("path") for number in re.findall(r"[\d.]+", str(path.get("d")))]
    assert max(numbers) <= size.width


def test_a_place_that_is_pointed_at_tells_its_values() -> None:
    places = [group for group in drawn(charts_of(history())[0]).iter("g") if group.get("class") == "place"]
    assert [str(place.findtext("title")).split("\n") for place in places] == [
        ["0:00", "asked for: 0", "held: 0"],
        ["0:01", "asked for: 20", "held: 20"],
        ["0:02", "asked for: 20", "held: 18"],
    ]
    assert [len(place.findall("circle")) for place in places] == [2, 2, 2]


def test_there_are_no_more_places_than_can_be_pointed_at() -> None:
    chart = replace(charts_of(history())[0], at=range(5000), series=[Series("held", range(5000))])
    svg = drawn(chart)
    assert 50 < len([group for group in svg.iter("g") if group.get("class") == "place"]) <= 120
    strips = [(float(str(one.get("x"))), float(str(one.get("width")))) for one in svg.iter("rect")]
    assert strips[0][0] == SIZES[0].left
    assert sum(width for _, width in strips) == pytest.approx(SIZES[0].right_end - SIZES[0].left, abs=len(strips) / 10)


def test_commands_are_marked_with_their_numbers() -> None:
    svg = drawn(charts_of(history())[0])
    numbers = [group for group in svg.iter("g") if group.get("class") == "number"]
    assert [group.findtext("text") for group in numbers] == ["1", "2"]
    assert [group.findtext("title") for group in numbers] == ["0:00.1  set 20", f"0:00.5  {HOSTILE} (x2)"]
    assert len([path for path in svg.iter("path") if path.get("class") == "mark"]) == 2


def test_commands_that_are_too_close_share_a_text() -> None:
    marks = [(1 + number / 1000, f"set {number}") for number in range(20)]
    svg = drawn(replace(charts_of(history())[0], marks=[*marks, (1.9, "quit")]))
    numbers = [group for group in svg.iter("g") if group.get("class") == "number"]
    assert [group.findtext("text") for group in numbers] == ["1\N{EN DASH}20", "21"]
    told = str(numbers[0].findtext("title")).split("\n")
    assert (told[0], told[-1], len(told)) == ("0:01  set 0", "and 12 more", 9)
    assert len([path for path in svg.iter("path") if path.get("class") == "mark"]) < 20


def test_what_was_seen_between_the_points_is_an_area() -> None:
    chart = charts_of(history())[0]
    areas = [path for path in drawn(chart).iter("path") if str(path.get("class")).startswith("band")]
    assert [(area.get("class"), places_of(str(area.get("d")))) for area in areas] == [("band s1", 8)]
    same = replace(chart, series=[Series("held", [1, 2, 3], low=[1, 2, 3], high=[1, 2, 3])])
    assert not [path for path in drawn(same).iter("path") if str(path.get("class")).startswith("band")]


def test_names_cannot_become_markup() -> None:
    chart = replace(charts_of(history())[0], title='"><script>', series=[Series("<b>", [1, 2, 3])])
    svg = drawn(chart)
    assert svg.get("aria-label") == '"><script>: <b>'
    assert not list(svg.iter("script"))
