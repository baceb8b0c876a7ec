"""When things are due."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from initiator.workloads.arrivals import CONSTANT, POISSON, Arrivals, Choice
from initiator.workloads.schedule import constant, parse_schedule, parse_slopes

EVERYTHING = 1 << 40


def ks_distance(values: Sequence[float]) -> float:
    """Return the Kolmogorov-Smirnov distance of values from the exponential distribution with mean 1."""
    ordered = sorted(values)
    count = len(ordered)
    return max(
        max((at + 1) / count - (1 - math.exp(-value)), (1 - math.exp(-value)) - at / count)
        for at, value in enumerate(ordered)
    )


def test_constant_arrivals_are_exactly_as_many_as_the_steps_say() -> None:
    arrivals = Arrivals(parse_schedule("4s 20\n4s 200"), CONSTANT, 1, 100.0)
    times = arrivals.take(200.0, EVERYTHING)
    assert len([time for time in times if time < 104]) == 80
    assert len([time for time in times if 104 <= time < 108]) == 800
    assert math.isinf(arrivals.next_due)


@pytest.mark.parametrize("kind", [CONSTANT, POISSON])
@given(rate=st.integers(1, 100_000), seed=st.integers(0, 100), seconds=st.floats(0.001, 1.0))
@example(rate=65535, seed=0, seconds=0.1)
def test_where_all_was_taken_nothing_is_left(kind: str, rate: int, seed: int, seconds: float) -> None:
    arrivals = Arrivals(constant(rate), kind, seed, 100.0)
    taken = len(arrivals.take(100 + seconds, EVERYTHING))
    assert arrivals.left(100 + seconds) == 0
    again = Arrivals(constant(rate), kind, seed, 100.0)
    left = again.left(100 + seconds)
    assert left == taken if kind == CONSTANT else abs(left - taken) <= 5 * math.sqrt(rate * seconds) + 5
    assert again.restart(constant(rate), 100 + seconds) == left


@pytest.mark.parametrize("seed", range(5))
def test_poisson_arrivals_are_about_as_many(seed: int) -> None:
    arrivals = Arrivals(parse_schedule("4s 20\n4s 200"), POISSON, seed, 0.0)
    times = arrivals.take(200.0, EVERYTHING)
    for begin, expected in ((0, 80), (4, 800)):
        count = len([time for time in times if begin <= time < begin + 4])
        assert abs(count - expected) <= 4 * math.sqrt(expected)


@pytest.mark.parametrize("seed", range(5))
def test_gaps_of_poisson_arrivals_are_exponential(seed: int) -> None:
    times = Arrivals(constant(1000), POISSON, seed, 5.0).take(15.0, EVERYTHING)
    gaps = [(after - before) * 1000 for before, after in pairwise([5.0, *times])]
    # The critical distance at a level of 0.1 %.
    assert ks_distance(gaps) < 1.95 / math.sqrt(len(gaps))


def test_a_slope_is_followed() -> None:
    times = Arrivals(parse_slopes("10s 42", 0), CONSTANT, 1, 0.0).take(1e9, EVERYTHING)
    assert len(times) == 2100
    assert len([time for time in times if time <= 5]) == 525
    assert times[-1] - times[-2] == pytest.approx(1 / 420, rel=0.01)


def test_the_schedule_does_not_drift() -> None:
    arrivals = Arrivals(constant(0.1), CONSTANT, 1, 1000.0)
    assert arrivals.take(1_001_000.0, EVERYTHING)[-1] == pytest.approx(1000 + 10 * 99_999.5, abs=1e-6)


@given(st.sampled_from([POISSON, CONSTANT]), st.lists(st.tuples(st.floats(0, 3), st.integers(1, 500)), max_size=20))
def test_the_same_seed_gives_the_same_times_however_they_are_taken(kind: str, takes: list[tuple[float, int]]) -> None:
    whole = Arrivals(constant(700), kind, 9, 0.0).take(100.0, 30_000)
    parts = Arrivals(constant(700), kind, 9, 0.0)
    taken: list[float] = []
    for now, most in sorted(takes):
        some = parts.take(now, most)
        assert len(some) <= most
        assert all(time <= now for time in some)
        taken += some
    assert taken == whole[: len(taken)]
    assert parts.next_due == whole[len(taken)]


def test_another_schedule_begins_at_once_and_forgets_what_was_due() -> None:
    arrivals = Arrivals(constant(100), CONSTANT, 1, 0.0)
    arrivals.take(1.0, EVERYTHING)
    assert arrivals.restart(constant(10), 3.0) == 200
    assert arrivals.take(4.0, EVERYTHING) == pytest.approx([3.05 + 0.1 * at for at in range(10)])


def test_draws_are_repeated_by_the_seed() -> None:
    one, other = Choice(4), Choice(4)
    assert one.take(range(1000), 10) + one.take(range(1000), 5) == other.take(range(1000), 15)
    assert set(one.take("abc", 1000)) == set("abc")
    assert Choice(5).take(range(1000), 3) != Choice(4).take(range(1000), 3)
