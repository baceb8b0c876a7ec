"""Tests of how what is asked of a daemon is divided among its workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.shares import share_out
from common.workers.division import (
    divide_up,
    fill,
    place_of,
    portions,
    respread,
    seed_of,
    weights_of,
    workers_needed,
)

COUNTS = st.integers(1, 8)
LOADS = st.lists(st.integers(0, 50), min_size=1, max_size=8)


@st.composite
def changes(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """Return a number of workers, and one after the other what is wanted of some targets."""
    targets = draw(st.integers(1, 6))
    wanted = st.lists(st.integers(0, 40), min_size=targets, max_size=targets)
    return draw(COUNTS), draw(st.lists(wanted, min_size=1, max_size=5))


@pytest.mark.parametrize(
    ("sessions", "capacity", "cores", "workers"),
    [
        (0, 100, 2, 2),
        (200, 100, 2, 2),
        (201, 100, 2, 3),
        (1_000_000, 19_900, 2, 51),
        (5, 0, 1, 5),
        (10**9, 20_000, 2, 256),
        (1, 9, 300, 300),
    ],
)
def test_there_are_as_many_workers_as_are_needed(sessions: int, capacity: int, cores: int, workers: int) -> None:
    assert workers_needed(sessions, capacity, cores) == workers


@given(st.integers(0, 10_000), COUNTS)
def test_a_part_rounded_up_is_enough_and_never_nothing(total: int, count: int) -> None:
    part = divide_up(total, count)
    assert part >= 1
    assert part * count >= total
    assert (part - 1) * count < max(1, total)


def test_seeds_repeat_and_differ() -> None:
    seeds = [seed_of(seed, number) for seed in range(20) for number in range(20)]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [seed_of(seed, number) for seed in range(20) for number in range(20)]


@given(COUNTS)
def test_workers_begin_at_equal_distances_and_later_ones_in_the_gaps(count: int) -> None:
    assert [place_of(number, count) for number in range(count)] == [number / count for number in range(count)]
    places = [place_of(number, count) for number in range(4 * count)]
    assert sorted(places) == pytest.approx([step / (4 * count) for step in range(4 * count)])


@given(LOADS)
def test_weights_are_of_the_sessions(shares: list[int]) -> None:
    weights = weights_of(shares)
    assert sum(weights) == pytest.approx(1)
    if sum(shares):
        assert all(not weight for weight, share in zip(weights, shares, strict=True) if not share)


@pytest.mark.parametrize("shares", [[0, 0], [7, 7], [3, 4], [1000, 1040]])
def test_shares_that_are_nearly_the_same_weigh_the_same(shares: list[int]) -> None:
    assert weights_of(shares) == [0.5, 0.5]


@given(LOADS, st.integers(0, 200))
def test_the_least_loaded_get_first(loads: list[int], more: int) -> None:
    given_to = fill(loads, more)
    assert sum(given_to) == more
    assert min(given_to) >= 0
    after = [load + own for load, own in zip(loads, given_to, strict=True)]
    raised = [load for load, own in zip(after, given_to, strict=True) if own]
    if raised:
        assert max(raised) - min(after) <= 1


@given(LOADS, st.integers(0, 300))
def test_a_portion_is_never_more_than_there_is(loads: list[int], total: int) -> None:
    taken = portions(loads, total)
    assert sum(taken) == min(total, sum(loads))
    assert all(0 <= part <= load for part, load in zip(taken, loads, strict=True))
    if total <= sum(loads):
        exact = [load * total / (sum(loads) or 1) for load in loads]
        assert all(abs(part - wanted) < 1 for part, wanted in zip(taken, exact, strict=True))


@given(changes())
def test_shares_are_as_wanted_and_nothing_moves_that_need_not(change: tuple[int, list[list[int]]]) -> None:
    workers, steps = change
    shares = [[0] * workers for _ in steps[0]]
    for wanted in steps:
        before = [row[:] for row in shares]
        for _ in respread(shares, wanted):
            pass
        assert [sum(row) for row in shares] == wanted
        for old, new in zip(before, shares, strict=True):
            moved = [b - a for a, b in zip(old, new, strict=True)]
            assert min(new) >= 0
            assert min(moved) >= 0 or max(moved) <= 0


@given(st.integers(0, 500), st.integers(1, 9), COUNTS)
def test_workers_are_loaded_alike(total: int, targets: int, workers: int) -> None:
    shares = [[0] * workers for _ in range(targets)]
    for _ in respread(shares, share_out(total, targets)):
        pass
    loads = [sum(column) for column in zip(*shares, strict=True)]
    assert max(loads) - min(loads) <= 1


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 5), COUNTS)
def test_a_worker_that_joins_is_given_what_is_new(first: int, more: int, targets: int, workers: int) -> None:
    shares = [[0] * workers for _ in range(targets)]
    list(respread(shares, share_out(first, targets)))
    for row in shares:
        row.append(0)
    before = [row[:] for row in shares]
    list(respread(shares, share_out(first + more, targets)))
    assert all(b >= a for old, new in zip(before, shares, strict=True) for a, b in zip(old, new, strict=True))
    loads = [sum(column) for column in zip(*shares, strict=True)]
    highest = max(sum(column) for column in zip(*before, strict=True))
    assert max(loads) <= max(highest, -(-(first + more) // (workers + 1)))
