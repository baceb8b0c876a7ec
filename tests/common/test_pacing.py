"""Tests of pacing."""

from math import floor

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.pacing import Pace

rates = st.integers(1, 100_000)
starts = st.floats(0, 1e6)

# Milliseconds between two looks at the clock, none so long that something is given up.
steps = st.lists(st.integers(0, 90), max_size=60)


def test_the_first_is_due_at_once() -> None:
    """A pace begins with one that is due."""
    pace = Pace(10, 5.0)
    assert pace.due(5.0) == 1
    assert pace.wait(5.0) == 0.0


@pytest.mark.parametrize(
    ("rate", "after", "due"), [(10, 0.05, 1), (10, 0.1, 2), (100, 0.05, 6), (1_000, 0.05, 51), (1, 0.0, 1)]
)
def test_what_is_due_adds_up(rate: float, after: float, due: int) -> None:
    """What was not done at its time is due later, beside what comes then."""
    assert Pace(rate, 100.0).due(100.0 + after) == due


def test_what_is_done_is_not_due_any_more() -> None:
    """Those that were due and are done are counted off, one or several at a time."""
    pace = Pace(1_000, 0.0)
    assert pace.due(0.05) == 51
    pace.done()
    assert pace.due(0.05) == 50
    pace.done(50)
    assert pace.due(0.05) == 0
    assert pace.wait(0.05) == pytest.approx(0.001)


@given(rates, starts, steps)
def test_the_rate_is_kept_over_any_time(rate: int, start: float, waits: list[int]) -> None:
    """However often the clock is looked at, what was done in all is what the rate gives for the time passed."""
    pace = Pace(rate, start)
    done = passed = 0
    for wait in [0, *waits]:
        passed += wait
        count = pace.due(start + passed / 1000)
        pace.done(count)
        done += count
    assert abs(done - (floor(passed * rate / 1000) + 1)) <= 1


@given(rates, starts, st.integers(0, 9_000))
def test_after_all_that_was_due_nothing_is_until_the_time_told(rate: int, start: float, count: int) -> None:
    """Half way between two times the wait told is half of that, and nothing is due meanwhile."""
    assume(count + 0.5 < rate * 0.09)
    pace = Pace(rate, start)
    now = start + (count + 0.5) / rate
    assert pace.due(now) == count + 1
    pace.done(count + 1)
    assert pace.due(now) == 0
    wait = pace.wait(now)
    assert wait == pytest.approx(0.5 / rate, abs=1e-7)
    assert pace.due(now + wait - 1e-6) == 0
    assert pace.due(now + wait + 1e-6) == 1


@given(rates, starts, st.floats(0.1, 1e4))
def test_a_stall_is_not_made_up_for_by_a_long_burst(rate: int, start: float, stall: float) -> None:
    """After a stall no more is due than a tenth of a second of the rate, and one."""
    pace = Pace(rate, start)
    count = pace.due(start + stall)
    assert 1 <= count <= rate * 0.1 + 2
    pace.done(count)
    assert pace.due(start + stall) <= 1


def test_a_slow_pace_is_not_faster_after_a_stall() -> None:
    """One a second is one a second after an hour as well."""
    pace = Pace(1, 0.0)
    assert pace.due(3_600.0) == 1
    pace.done()
    assert pace.due(3_600.5) == 0
    assert pace.wait(3_600.5) == pytest.approx(0.4)


def test_a_pace_may_be_slower_than_one_a_second() -> None:
    """A rate below one spreads its work over seconds."""
    pace = Pace(0.1, 0.0)
    pace.done(pace.due(0.0))
    assert pace.due(9.9) == 0
    assert pace.wait(9.0) == pytest.approx(1.0)
    assert pace.due(10.0) == 1
