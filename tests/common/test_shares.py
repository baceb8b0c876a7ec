"""Tests of what a number of sessions means for each target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.shares import share_out


@pytest.mark.parametrize(
    ("total", "count", "shares"),
    [
        (40, 4, [10, 10, 10, 10]),
        (10, 4, [3, 3, 2, 2]),
        (3, 4, [1, 1, 1, 0]),
        (0, 3, [0, 0, 0]),
        (7, 1, [7]),
    ],
)
def test_sessions_are_shared_out_evenly(total: int, count: int, shares: list[int]) -> None:
    """Where sessions do not divide evenly, the first targets have one more."""
    assert share_out(total, count) == shares


@given(st.integers(0, 10**7), st.integers(1, 3_000))
def test_shares_add_up_and_differ_by_one_at_most(total: int, count: int) -> None:
    """Every target has a share, no session is lost, and no target is asked for much more than another."""
    shares = share_out(total, count)
    assert (len(shares), sum(shares)) == (count, total)
    assert shares[0] - shares[-1] <= 1
    assert shares == sorted(shares, reverse=True)


@given(st.integers(0, 10**5), st.integers(0, 10**5), st.integers(1, 200))
def test_more_sessions_close_none(total: int, more: int, count: int) -> None:
    """No target's share shrinks when more sessions are asked for."""
    before, after = share_out(total, count), share_out(total + more, count)
    assert all(was <= becomes for was, becomes in zip(before, after, strict=True))
