"""Tests of the latency histogram."""

import json
import random
import sys
import tracemalloc
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
    histogram.record_many([(value + 0.5) / 1_000_000 for value in values])
    return histogram


def all_of(histogram: Histogram) -> tuple[object, ...]:
    """Return everything that a histogram tells."""
    ends = (histogram.lowest, histogram.highest, histogram.mean)
    return (histogram.count, histogram.total, *ends, histogram.sparse(), histogram.percentiles(WANTED))


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
    histogram.record_many([])
    assert all_of(histogram) == (0, 0, 0.0, 0.0, 0.0, [], [0.0] * len(WANTED))
    assert histogram.percentiles(()) == []


@settings(deadline=None)
@given(st.lists(microseconds, min_size=1, max_size=300))
def test_together_or_one_by_one_is_the_same(values: list[int]) -> None:
    """It does not matter how many are recorded at once, long ones and short ones mixed."""
    one_by_one = Histogram()
    for value in values:
        one_by_one.record((value + 0.5) / 1_000_000)
    assert all_of(one_by_one) == all_of(histogram_of(values))


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
    """The number of records, their sum and their ends lose nothing to the digits kept."""
    histogram = histogram_of(values)
    assert (histogram.count, histogram.total) == (len(values), sum(values))
    if values:
        ends = (min(values) / 1_000_000, max(values) / 1_000_000)
        assert (histogram.lowest, histogram.highest) == ends
        assert histogram.mean == pytest.approx(sum(values) / len(values) / 1_000_000, rel=1e-12)


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
    histogram.record_many([0.005, seconds, seconds])
    assert (histogram.count, histogram.total) == (4, 3 * value + 5_000)
    assert (value, 3) in histogram.sparse()


@pytest.mark.parametrize(
    ("latencies", "value"),
    [([-2.0, -1.0, 0.0, 0.000_001_5], LOWEST), ([100.0, 100.1, 200.0, 1e9], HIGHEST)],
)
def test_all_that_is_out_of_range_counts_at_the_same_end(latencies: list[float], value: int) -> None:
    """Different ones are counted together, and with those that are just in range."""
    histogram = Histogram()
    histogram.record_many(latencies)
    assert (histogram.sparse(), histogram.total) == ([(value, 4)], 4 * value)


def test_the_same_percentile_may_be_asked_for_twice() -> None:
    """Percentiles are told in the order asked for, as many as were asked for."""
    assert percentiles([10, 20], (50, 100, 50, 51, 100)) == [10, 20, 10, 20, 20]


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


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused_with_all_it_came_with(seconds: float) -> None:
    """A batch is counted whole or not at all."""
    histogram = histogram_of([5])
    with pytest.raises((ValueError, OverflowError)):
        histogram.record_many([0.000_001, seconds])
    assert histogram.sparse() == [(5, 1)]


@given(microseconds, st.integers(1, 1000))
def test_the_same_many_times_is_as_often_one(value: int, times: int) -> None:
    made = Histogram()
    made.record_same((value + 0.5) / 1_000_000, times)
    assert all_of(made) == all_of(histogram_of([value] * times))


def test_different_values_many_times_are_not_kept_aside_for_ever() -> None:
    made = Histogram()
    for value in range(100_000):
        made.record_same((value + 0.5) / 1_000_000, 2)
    assert sys.getsizeof(made._kept) < 100_000
    assert made.count == 200_000
    assert made.percentiles((50,))[0] == pytest.approx(0.05, rel=0.001)


@settings(deadline=None)
@given(st.lists(microseconds, max_size=100), st.data())
def test_one_at_a_time_is_the_same_as_many_at_once(values: list[int], data: st.DataObject) -> None:
    """However values come, and whatever is asked for between them."""
    single = Histogram()
    for value in values:
        single.record((value + 0.5) / 1_000_000)
        if data.draw(st.booleans()):
            single.percentiles((50,))
    assert all_of(single) == all_of(histogram_of(values))


def test_many_distinct_values_are_all_counted() -> None:
    """More than are kept aside before they are counted, several times over."""
    values = list(range(1, 200_000, 7)) * 2
    histogram = Histogram()
    for start in range(0, len(values), 1000):
        histogram.record_many([(value + 0.5) / 1_000_000 for value in values[start : start + 1000]])
    assert all_of(histogram) == all_of(histogram_of(values))
    assert sum(counted for _, counted in histogram.sparse()) == histogram.count == len(values)
    assert histogram.total == sum(values)


@settings(deadline=None)
@given(st.lists(microseconds, max_size=50), st.lists(microseconds, max_size=50))
def test_merged_ones_are_one_of_all_values(some: list[int], others: list[int]) -> None:
    """Nothing is lost, the other one is as before, and more can be recorded afterwards."""
    merged, other = histogram_of(some), histogram_of(others)
    merged.merge(other)
    assert all_of(merged) == all_of(histogram_of(some + others))
    assert all_of(other) == all_of(histogram_of(others))
    merged.merge(merged)
    merged.record(1.000_000_5)
    assert all_of(merged) == all_of(histogram_of((some + others) * 2 + [1_000_000]))


@settings(deadline=None)
@given(st.lists(microseconds, max_size=50), st.lists(microseconds, min_size=1, max_size=50))
def test_a_copy_stays_as_it_was(values: list[int], later: list[int]) -> None:
    """What is recorded or forgotten later is not in it, nor the other way round."""
    histogram = histogram_of(values)
    copy = histogram.copy()
    histogram.record_many([value / 1_000_000 for value in later])
    assert all_of(copy) == all_of(histogram_of(values))
    before = all_of(histogram)
    copy.reset()
    assert all_of(copy) == all_of(Histogram())
    assert all_of(histogram) == before


@settings(deadline=None)
@given(st.lists(microseconds, max_size=100))
def test_the_sparse_counts_are_each_value_to_three_digits(values: list[int]) -> None:
    """In ascending order, each value once, and none above the greatest recorded."""
    sparse = histogram_of(values).sparse()
    found = [value for value, counted in sparse for _ in range(counted)]
    assert [value for value, _ in sparse] == sorted({value for value, _ in sparse})
    for true, value in zip(sorted(values), found, strict=True):
        assert true <= value <= min(true * 1.001, max(values))


@settings(deadline=None)
@given(st.lists(microseconds, max_size=50), st.lists(microseconds, max_size=50))
def test_what_went_through_json_merges_without_loss(here: list[int], there: list[int]) -> None:
    """But for the digits of the least value, which is a thousandth above at most."""
    sent = histogram_of(there)
    text = json.dumps({"counts": sent.sparse(), "total": sent.total})
    received = json.loads(text)
    merged = histogram_of(here)
    merged.merge(Histogram.from_sparse(received["counts"], received["total"]))
    expected = histogram_of(here + there)
    assert merged.sparse() == expected.sparse()
    assert merged.percentiles(WANTED) == expected.percentiles(WANTED)
    assert (merged.count, merged.total, merged.highest) == (expected.count, expected.total, expected.highest)
    assert expected.lowest <= merged.lowest <= expected.lowest * 1.001
    assert Histogram.from_sparse(sent.sparse()).mean == pytest.approx(sent.mean, rel=0.001)


def test_memory_does_not_grow_with_what_is_recorded() -> None:
    """After a first round of values from 1 µs to 100 s the counts are all there is, and little comes and goes."""
    draw = random.Random(1)
    batches = [[10 ** draw.uniform(-6, 2) for _ in range(1000)] for _ in range(50)]
    histogram = Histogram()

    def round_of_all() -> int:
        for batch in batches:
            histogram.record_many(batch)
        histogram.percentiles(())
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first = round_of_all()
        tracemalloc.reset_peak()
        last = [round_of_all() for _ in range(4)][-1]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert histogram.count == 250_000
    assert last - first < 4_000
    assert peak - first < 2_000_000


@given(st.lists(microseconds, max_size=100), st.lists(microseconds, max_size=100))
def test_a_copy_is_of_its_own(before: list[int], after: list[int]) -> None:
    """What is recorded later is in the one that it was recorded in."""
    histogram = histogram_of(before)
    made = histogram.copy()
    histogram.record_many([(value + 0.5) / 1_000_000 for value in after])
    assert all_of(made) == all_of(histogram_of(before))
    assert all_of(histogram) == all_of(histogram_of(before + after))


@given(st.lists(microseconds, max_size=100), st.lists(microseconds, max_size=100))
def test_what_has_come_since_a_copy_is_counted(before: list[int], after: list[int]) -> None:
    """The difference has the counts of what came later alone, and its values within a thousandth."""
    histogram = histogram_of(before)
    copy = histogram.copy()
    histogram.record_many([(value + 0.5) / 1_000_000 for value in after])
    new, wanted = histogram.since(copy), histogram_of(after)
    assert (new.count, new.total) == (wanted.count, wanted.total)
    assert new.percentiles(WANTED) == pytest.approx(wanted.percentiles(WANTED), rel=0.001)
    assert (new.lowest, new.highest) == pytest.approx((wanted.lowest, wanted.highest), rel=0.001)


@pytest.mark.parametrize("after", [[], [7], [7, 7, 7]])
def test_a_reset_starts_the_difference_afresh(after: list[int]) -> None:
    """Where a value was counted more often before, all counts are those since a reset."""
    assert all_of(histogram_of(after).since(histogram_of([5, 5]))) == all_of(histogram_of(after))


@given(st.lists(microseconds, max_size=200), st.lists(microseconds, min_size=1, max_size=20))
def test_what_is_not_above_a_bound_is_counted(values: list[int], bounds: list[int]) -> None:
    """The counts ascend, and are those of the values but for a thousandth of the bound."""
    bounds.sort()
    found = histogram_of(values).cumulative([bound / 1_000_000 for bound in bounds])
    for bound, count in zip(bounds, found, strict=True):
        assert sum(value <= bound for value in values) <= count <= sum(value <= bound * 1.001 for value in values)
    assert found == sorted(found)
