"""The percentile table of a histogram, against the library that made the format known."""

import math
import re
from io import BytesIO

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.iterators import PercentileIterator
from hypothesis import given, settings
from hypothesis import strategies as st

from common.hdr import Row, percentile_rows, percentile_table
from common.histogram import Histogram

values = st.lists(st.one_of(st.integers(1, 3000), st.integers(1, 100_000_000)), min_size=1, max_size=300)

# The library takes a tenth of a second to walk over its counts.
seldom = settings(deadline=None, max_examples=25)

FOOTER = re.compile(
    r"#\[Mean    = (.{12}), StdDeviation   = (.{12})\]\n"
    r"#\[Max     = (.{12}), Total ?[cC]ount {4,5}= (.{12})\]\n"
    r"#\[Buckets = (.{12}), SubBuckets     = (.{12})\]\n\Z"
)


class EvenTicks(PercentileIterator):  # type: ignore[misc]
    """The library's rows at the percentiles of the original in Java, whose halves have even steps within."""

    def increment_iteration_level(self) -> None:
        if self.percentile_to_iterate_to < 100:
            halves = int(math.log2(100 / (100 - self.percentile_to_iterate_to))) + 1
            self.percentile_to_iterate_to += 100 / (self.percentile_ticks_per_half_distance * 2**halves)


def both(microseconds: list[int]) -> tuple[Histogram, HdrHistogram]:
    """Return a histogram of ours and one of the library with the same values."""
    ours, theirs = Histogram(), HdrHistogram(1, 100_000_000, 3)
    ours.record_many([(value + 0.5) / 1_000_000 for value in microseconds])
    for value in microseconds:
        theirs.record_value(value)
    return ours, theirs


def their_rows(theirs: HdrHistogram) -> list[tuple[float, float, int]]:
    """Return value in ms, percentile and count so far of the library's rows."""
    return [
        (row.value_iterated_to / 1000, row.percentile_level_iterated_to / 100, row.total_count_to_this_value)
        for row in EvenTicks(theirs, 5)
    ]


def their_text(theirs: HdrHistogram) -> str:
    """Return the library's own table, in milliseconds."""
    out = BytesIO()
    theirs.output_percentile_distribution(out, 1000)
    return out.getvalue().decode()


@given(values, st.floats(0, 1))
def test_percentiles_are_those_of_the_library(microseconds: list[int], share: float) -> None:
    """At the percentile of one of the values, for in between the library takes the nearest one, and we the next."""
    ours, theirs = both(microseconds)
    percent = max(1, round(share * len(microseconds))) / len(microseconds) * 100
    value = ours.percentiles((percent,))[0] * 1_000_000
    assert value == pytest.approx(theirs.get_value_at_percentile(percent), rel=0.001)


@seldom
@given(values)
def test_the_rows_are_those_of_the_library(microseconds: list[int]) -> None:
    """One for one: the same percentiles and counts, the same values to three digits."""
    ours, theirs = both(microseconds)
    rows, expected = percentile_rows(ours), their_rows(theirs)
    assert [row.total_count for row in rows] == [count for _, _, count in expected]
    assert [row.percentile for row in rows] == pytest.approx([level for _, level, _ in expected], abs=1e-12)
    assert [row.value_ms for row in rows] == pytest.approx([value for value, _, _ in expected], rel=0.001)
    assert [row.inverse for row in rows[:-1]] == pytest.approx([1 / (1 - level) for _, level, _ in expected[:-1]])


@seldom
@given(values)
def test_the_summary_is_that_of_the_library(microseconds: list[int]) -> None:
    """Its deviation is in the unit of the values recorded, ours in milliseconds like the rest."""
    ours, theirs = both(microseconds)
    found, expected = FOOTER.search(percentile_table(ours)), FOOTER.search(their_text(theirs))
    assert found
    assert expected
    mean, deviation, highest, *counts = map(float, found.groups())
    their_mean, their_deviation, their_highest, *their_counts = map(float, expected.groups())
    assert counts == their_counts
    assert mean == pytest.approx(their_mean, rel=0.001, abs=0.0011)
    assert highest == pytest.approx(their_highest, rel=0.001, abs=0.0011)
    assert deviation == pytest.approx(their_deviation / 1000, rel=0.001, abs=0.0011 + 0.001 * mean)


@seldom
@given(values)
def test_the_text_is_the_rows_in_the_columns_of_the_library(microseconds: list[int]) -> None:
    """A row has four columns, the last one three; each as wide as there."""
    ours, theirs = both(microseconds)
    header, blank, *lines = percentile_table(ours).split("\n")[:-4]
    their_header, their_blank, first, *_, last = their_text(theirs).split("\n")[:-4]
    assert (header, blank) == (their_header, their_blank)
    assert [len(lines[0]), len(lines[-1])] == [len(first), len(last)]
    for row, line in zip(percentile_rows(ours), lines, strict=True):
        wanted = [row.value_ms, row.percentile, row.total_count, *([row.inverse] if row.percentile < 1 else [])]
        assert [float(word) for word in line.split()] == pytest.approx(wanted, rel=1e-9, abs=0.0051)


def test_the_axis_is_five_even_steps_for_each_half() -> None:
    """Halfway to 100 % in five steps, halfway again in five, until one stands for the greatest value."""
    ours, _ = both(list(range(1, 17)))
    levels = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.775, 0.8, 0.825, 0.85]
    levels += [0.875, 0.8875, 0.9, 0.9125, 0.925, 0.9375, 0.94375, 1]
    rows = percentile_rows(ours)
    assert [row.percentile for row in rows] == levels
    assert [row.total_count for row in rows] == [max(1, math.ceil(level * 16)) for level in levels]
    assert [row.value_ms for row in rows] == pytest.approx([row.total_count / 1000 for row in rows])


def test_a_million_values_have_a_hundred_rows() -> None:
    """The rows grow with the digits of the count, not with the count."""
    ours = Histogram()
    ours.record_many([0.000_100_5] * 999_999)
    ours.record_many([1.0])
    rows = percentile_rows(ours)
    assert len(rows) == 102
    assert rows[-1] == Row(1000.0, 1.0, 1_000_000, math.inf)
    assert [row.value_ms for row in rows[-3:]] == [pytest.approx(0.1), 1000, 1000]


def test_an_empty_one_has_a_table_too() -> None:
    """It has no rows, but a header and a summary."""
    assert percentile_rows(Histogram()) == []
    text = percentile_table(Histogram())
    found = FOOTER.search(text)
    assert found
    assert [float(figure) for figure in found.groups()] == [0, 0, 0, 0, 17, 2048]
    assert text.count("\n") == 5
