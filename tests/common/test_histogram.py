"""Tests of the latency histogram."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.histogram import HIGHEST, LOWEST, Histogram

WANTED = (0, 1, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100)

# Of every size in range, small ones, and many alike.
microseconds = (
    st.integers(LOWEST, HIGHEST)
    | st.integers(LOWEST, 3_000)
    | st.sampled_from([LOWEST, 2_047, 2_048, 2_049, 4_095, 4_096, HIGHEST - 1, HIGHEST])
    | st.integers(0, 26).map(lambda bits: 1 << bits)
)


def histogram_of(values: list[int]) -> Histogram:
    """Return a histogram of whole microseconds."""
    histogram = Histogram()
    for value in values:
        histogram.record((value + 0.5) / 1_000_000)
    return histogram


def percentiles(values: list[int], wanted: tuple[float, ...] = WANTED) -> list[int]:
    """Return percentiles of values, in whole microseconds."""
    return [round(seconds * 1_000_000) for seconds in histogram_of(values).percentiles(wanted)]


def order_statistic(values: list[int], percent: float) -> int:
    """Return the least value that so many percent of the values are not above."""
    rank = max(1, ceil(len(values) * Fraction(str(percent)) / 100))
    return sorted(values)[rank - 1]


def test_an_empty_histogram_has_nothing_to_tell() -> None:
    """Without a record every percentile is none."""
    histogram = Histogram()
    assert (histogram.count, histogram.total) == (0, 0)
    assert histogram.percentiles(WANTED) == [0.0] * len(WANTED)
    assert histogram.percentiles(()) == []


@settings(deadline=None)
@given(st.lists(microseconds, min_size=1, max_size=300))
def test_a_percentile_is_the_order_statistic_to_three_digits(values: list[int]) -> None:
    """A percentile is never below the true one, and above it by at most a thousandth."""
    for percent, found in zip(WANTED, percentiles(values), strict=True):
        true = order_statistic(values, percent)
        assert true <= found <= true * 1.001


@settings(deadline=None)
@given(st.lists(st.integers(LOWEST, 2_047), min_size=1, max_size=300))
def test_a_percentile_below_two_milliseconds_is_exact(values: list[int]) -> None:
    """Each value below 2,048 µs has a count of its own."""
    assert percentiles(values) == [order_statistic(values, percent) for percent in WANTED]


@given(st.lists(microseconds, min_size=1, max_size=50))
def test_the_greatest_value_is_exact(values: list[int]) -> None:
    """No percentile is above the greatest value recorded, and the last one is that."""
    assert percentiles(values, (100,)) == [max(values)]


@given(st.lists(microseconds, max_size=50))
def test_all_records_are_counted_and_added_up(values: list[int]) -> None:
    """The number of records and their sum lose nothing to the digits kept."""
    histogram = histogram_of(values)
    assert (histogram.count, histogram.total) == (len(values), sum(values))


@pytest.mark.parametrize(
    ("seconds", "value"),
    [(0.0, LOWEST), (-1.0, LOWEST), (1e-9, LOWEST), (100.0, HIGHEST), (100.1, HIGHEST), (1e9, HIGHEST)],
)
def test_what_is_out_of_range_counts_as_the_nearest_in_range(seconds: float, value: int) -> None:
    """A latency of nothing, or of more than 100 s, is counted all the same."""
    histogram = Histogram()
    histogram.record(seconds)
    assert (histogram.count, histogram.total) == (1, value)
    assert histogram.percentiles((50,)) == [value / 1_000_000]


def test_the_same_percentile_may_be_asked_for_twice() -> None:
    """Percentiles are told in the order asked for, as many as were asked for."""
    assert percentiles([10, 20], (50, 50, 51, 100, 100)) == [10, 10, 20, 20, 20]


def test_a_percentile_is_told_while_more_is_recorded() -> None:
    """What is recorded later is in what is asked for later."""
    histogram = histogram_of([100])
    assert histogram.percentiles((50,)) == [0.0001]
    for _ in range(2):
        histogram.record(0.0002005)
    assert histogram.percentiles((50,)) == [0.0002]


def test_the_last_thousandth_begins_behind_the_rest() -> None:
    """Of 41,000 values the 99.9th percentile is the 40,959th, with 41 above it."""
    assert percentiles([1_000] * 40_959 + [1_000_000] * 41, (99.9,)) == [1_000]
