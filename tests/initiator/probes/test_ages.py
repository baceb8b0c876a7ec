"""Tests of the ages of lost sessions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses import Address
from initiator.probes.ages import AgeBucket, Ages, AgesFigures

ONE, OTHER = Address("127.0.0.1", 1), Address("127.0.0.1", 2)


@pytest.mark.parametrize(
    ("age", "low", "high"),
    [
        (0.0, 0.0, 0.125),
        (0.124, 0.0, 0.125),
        (0.125, 0.125, 0.25),
        (0.9, 0.5, 1.0),
        (1.0, 1.0, 2.0),
        (59.0, 32.0, 64.0),
        (86400.0, 65536.0, 131072.0),
        (8388607.0, 4194304.0, 8388608.0),
        (8388608.0, 8388608.0, None),
        (1e12, 8388608.0, None),
    ],
)
def test_an_age_is_counted_between_its_bounds(age: float, low: float, high: float | None) -> None:
    ages = Ages()
    ages.record(ONE, "rst", age)
    assert ages.figures().reasons == {"rst": [AgeBucket(low, high, 1)]}


@given(st.lists(st.tuples(st.sampled_from([ONE, OTHER]), st.sampled_from(["rst", "fin"]), st.floats(0, 1e8))))
def test_no_loss_is_left_out_and_the_buckets_join(losses: list[tuple[Address, str, float]]) -> None:
    ages = Ages()
    for loss in losses:
        ages.record(*loss)
    figures = ages.figures()
    assert sum(bucket.lost for buckets in figures.reasons.values() for bucket in buckets) == len(losses)
    assert sum(row.lost for row in figures.targets) == len(losses)
    for row in figures.targets:
        assert sum(bucket.lost for bucket in row.ages) == row.lost
        assert all(one.high == next_one.low for one, next_one in zip(row.ages, row.ages[1:], strict=False))
    only = ages.figures(ONE)
    assert {row.target for row in only.targets} <= {str(ONE)}
    assert sum(row.lost for row in only.targets) == sum(target == ONE for target, _, _ in losses)


def test_nothing_lost_is_nothing_shown() -> None:
    assert Ages().figures() == AgesFigures({}, [])
