"""The percentile table of a histogram, against the library that made the format known."""

import re

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from common.hdr import percentile_table
from common.histogram import Histogram

values = st.lists(st.one_of(st.integers(1, 3000), st.integers(1, 10_000_000)), min_size=1, max_size=300)


def both(microseconds: list[int]) -> tuple[Histogram, HdrHistogram]:
    ours, theirs = Histogram(), HdrHistogram(1, 100_000_000, 3)
    ours.record_many([value / 1_000_000 + 1e-9 for value in microseconds])
    for value in microseconds:
        theirs.record_value(value)
    return ours, theirs


def rows_of(text: str) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in text.splitlines() if re.match(r" *\d", line)]


@given(values, st.floats(0, 1))
def test_percentiles_are_those_of_the_library(microseconds: list[int], share: float) -> None:
    """At the percentile of one of the values, for in between the library takes the nearest one, and we the next."""
    ours, theirs = both(microseconds)
    percent = max(1, round(share * len(microseconds))) / len(microseconds) * 100
    value = ours.percentiles((percent,))[0] * 1_000_000
    assert value == pytest.approx(theirs.get_value_at_percentile(percent), rel=0.001, abs=1)


@given(values)
def test_the_table_says_what_the_library_says(microseconds: list[int]) -> None:
    ours, theirs = both(microseconds)
    rows = rows_of(percentile_table(ours))
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)
    assert rows[-1][1:3] == [1.0, len(microseconds)]
    for value, level, count, *_ in rows:
        assert count >= level * len(microseconds) - 1e-6
        expected = theirs.get_value_at_percentile(count / len(microseconds) * 100) / 1000
        assert value == pytest.approx(expected, rel=0.001, abs=0.0011)


def test_the_table_has_the_lines_that_readers_look_for() -> None:
    ours, _ = both([1000, 2000, 3000])
    lines = percentile_table(ours).splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert lines[-3].startswith("#[Mean    =")
    assert lines[-2].startswith("#[Max     =")
    assert lines[-1].startswith("#[Buckets =")


def test_an_empty_one_has_a_table_too() -> None:
    assert "#[Max" in percentile_table(Histogram())
