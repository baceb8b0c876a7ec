"""Tests of how fast a counter grows."""

from hypothesis import given
from hypothesis import strategies as st

from common.rate import Rate


def rate_of(samples: list[tuple[float, int]]) -> float:
    """Return the rate after these samples."""
    rate = Rate()
    for now, total in samples:
        rate.sample(now, total)
    return rate.per_second


def test_there_is_no_rate_before_the_second_sample() -> None:
    """One sample tells no growth."""
    assert rate_of([]) == 0.0
    assert rate_of([(5.0, 1_000)]) == 0.0


def test_the_rate_is_the_growth_by_the_time() -> None:
    """Growth is told a second, however short the time it was seen in."""
    assert rate_of([(10.0, 100), (10.5, 150)]) == 100.0
    assert rate_of([(10.0, 100), (11.0, 150)]) == 50.0
    assert rate_of([(10.0, 100), (10.5, 100)]) == 0.0


def test_only_the_last_second_counts() -> None:
    """Growth that is longer ago is forgotten, and a counter that stands still comes to a rate of none."""
    assert rate_of([(0.0, 0), (1.0, 1_000), (1.5, 1_010), (2.0, 1_020)]) == 20.0
    assert rate_of([(0.0, 0), (5.0, 1_000), (5.5, 1_000)]) == 0.0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.lists(st.integers(1, 64), min_size=1, max_size=200))
def test_a_steady_growth_is_told_exactly(start: int, growth: int, steps: list[int]) -> None:
    """Samples at any times of a counter that grows evenly tell that growth."""
    at = start
    samples = [(at / 64, at * growth)]
    for step in steps:
        at += step
        samples.append((at / 64, at * growth))
    assert rate_of(samples) == growth * 64


@given(st.lists(st.tuples(st.integers(1, 96), st.integers(0, 1_000)), min_size=1, max_size=100))
def test_the_rate_is_that_between_the_samples_of_the_last_second(steps: list[tuple[int, int]]) -> None:
    """The first sample of the last second and the latest one tell the rate."""
    now, total, samples = 0.0, 0, []
    for step, growth in steps:
        now, total = now + step / 64, total + growth
        samples.append((now, total))
    last = [sample for sample in samples if sample[0] >= now - 1.0]
    wanted = (total - last[0][1]) / (now - last[0][0]) if len(last) > 1 else 0.0
    assert rate_of(samples) == wanted
