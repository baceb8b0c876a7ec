"""The search for the highest rate that still does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.workloads.search import RateSearch


@given(st.floats(2, 1e7), st.floats(1, 1e5))
def test_the_highest_rate_that_does_is_found_in_few_steps(limit: float, start: float) -> None:
    search = RateSearch(start)
    for _ in range(40):
        if search.done:
            break
        search.judge(search.rate <= limit)
    assert search.done
    if search.good:
        assert search.bad is not None
        assert search.good <= limit < search.bad
        assert search.good == pytest.approx(limit, rel=0.04)


def test_it_is_given_up_when_no_rate_does() -> None:
    search = RateSearch(100)
    while not search.done:
        search.judge(False)
    assert search.good == 0
