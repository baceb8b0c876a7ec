"""Tests of the search for the rate that saturates."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.churn_figures import ChurnRow, Phase, Summary
from initiator.workloads.saturation import Saturation, Search, own_limit


def phase(median: float) -> Phase:
    summary = Summary(1, median, median, median, median, median, median)
    return Phase(summary, summary)


def row(asked: float, median: float = 0.001, **more: Any) -> ChurnRow:
    """Return what a rate that is answered well shows, but for what is said."""
    due = round(asked * 10)
    base = ChurnRow(
        asked=asked,
        seconds=10.0,
        achieved=asked,
        due=due,
        begun=due,
        completed=due,
        empty=0,
        failed={},
        under_way=0,
        unbegun=0,
        stopped=0,
        sent=0,
        received=0,
        late_p99=0.0001,
        busy=0.2,
        connect=phase(median),
        first_byte=phase(median),
        whole=phase(median),
    )
    return replace(base, **more)


@pytest.mark.parametrize(
    ("tried", "fault"),
    [
        (row(100), ""),
        (row(100, failed={"rst": 10}), ""),
        (row(100, failed={"rst": 6, "timeout": 5}), "1.1% failed"),
        (row(100, achieved=97.0), ""),
        (row(100, achieved=96.9), "96.9% of it was achieved"),
        (row(100, completed=0, achieved=0.0), "0.0% of it was achieved"),
        (row(100, median=0.002), ""),
        (row(100, median=0.0021), "the median is 2.1 times the best"),
        (row(100, median=9.0, failed={"rst": 1000}), "100.0% failed"),
    ],
)
def test_a_rate_is_too_much_for_a_reason(tried: ChurnRow, fault: str) -> None:
    search = Saturation(Search())
    search.judge(row(50))
    assert search.fault(tried) == fault


@pytest.mark.parametrize(
    ("changes", "limited"),
    [
        ({}, False),
        ({"busy": 0.94}, False),
        ({"busy": 0.95}, True),
        ({"late_p99": 0.009}, False),
        ({"late_p99": 0.01}, True),
    ],
)
def test_the_initiator_says_when_it_is_the_limit_itself(changes: dict[str, float], limited: bool) -> None:
    assert bool(own_limit(row(100, **changes))) == limited


def tried(search: Saturation, capacity: float, most: int = 200) -> list[float]:
    """Return the rates that a search tries where what is above a capacity is too much."""
    rates = []
    while search.rate is not None:
        rates.append(search.rate)
        search.judge(row(search.rate, failed={} if search.rate <= capacity else {"timeout": 10_000_000}))
        assert len(rates) < most
    return rates


def test_the_steps_rise_and_then_narrow_down() -> None:
    search = Saturation(Search(start=100, factor=2))
    assert tried(search, 700) == [100, 200, 400, 800, 800, 600, 700, 750, 750, 725, 725]
    verdict = search.verdict()
    assert (verdict.good, verdict.bad) == (700, 725)
    assert verdict.reason.endswith("% failed")


def test_what_is_bad_once_is_tried_again() -> None:
    search = Saturation(Search(start=100, factor=2))
    search.judge(row(100, failed={"rst": 1000}))
    assert search.rate == 100
    search.judge(row(100))
    assert search.rate == 200
    assert search.verdict().bad is None


def test_a_creeping_slowdown_is_noticed() -> None:
    search = Saturation(Search(start=100, factor=2))
    medians = iter([0.001, 0.0015, 0.0019, 0.0023, 0.0023])
    for median in medians:
        assert search.rate
        search.judge(row(search.rate, median=median))
    assert search.verdict().bad == 800
    assert search.verdict().reason == "the median is 2.3 times the best"


def test_the_median_is_held_against_the_best_of_all_steps() -> None:
    search = Saturation(Search(start=100, factor=2))
    for median in (0.002, 0.001, 0.0021, 0.0021):
        assert search.rate
        search.judge(row(search.rate, median=median))
    assert (search.verdict().good, search.verdict().bad) == (200, 400)


def test_a_start_that_is_too_high_is_lowered() -> None:
    search = Saturation(Search(start=1000))
    rates = tried(search, 100)
    assert rates[:6] == [1000, 1000, 250, 250, 62.5, 156.25]
    assert search.verdict().good <= 100 < (search.verdict().bad or 0)


def test_where_nothing_does_that_is_said() -> None:
    search = Saturation(Search(start=50))
    tried(search, 0)
    assert search.verdict().good == 0
    assert search.verdict().bad == pytest.approx(50 / 16)


@given(
    capacity=st.floats(1, 100_000),
    start=st.floats(1, 10_000),
    factor=st.floats(1.05, 10),
)
def test_the_bounds_close_in_on_the_capacity(capacity: float, start: float, factor: float) -> None:
    search = Saturation(Search(start=start, factor=factor))
    tried(search, capacity, 2000)
    verdict = search.verdict()
    assert verdict.bad is not None
    assert verdict.good <= capacity < verdict.bad
    if verdict.good:
        assert verdict.bad - verdict.good <= verdict.bad * 0.05
