"""Tests of how many sessions are tried next."""

from collections import Counter
from itertools import chain, cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.probes.growth import FIRST, Growth, spread_over, turns_of


def grow(growth: Growth[str], room: dict[str, int], evicts: bool = False) -> tuple[int, int]:
    """Return how many a path with so much room for each target takes, and how many were tried."""
    held: Counter[str] = Counter()
    total = sum(room.values())
    tried = 0
    for _ in range(1000):
        if growth.done:
            return held.total(), tried
        targets = growth.targets
        batch = Counter(targets[at % len(targets)] for at in range(growth.size))
        before = held.total()
        taken = Counter({target: min(count, room[target] - held[target]) for target, count in batch.items()})
        tried += batch.total()
        if evicts:
            held = Counter({"a": min(total, before + batch.total())})
            growth.judge(batch, batch, grown=held.total() > before)
            continue
        held += taken
        growth.judge(batch, taken, grown=held.total() > before or not taken.total())
    raise AssertionError("no end")


@given(st.integers(0, 50_000))
def test_one_target_is_filled_exactly_and_few_are_refused_in_the_end(room: int) -> None:
    held, tried = grow(Growth(["a"]), {"a": room})
    assert held == room
    assert tried <= 2 * room + 3 * FIRST


@given(st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 3000), min_size=1))
def test_a_full_target_does_not_keep_the_others_from_being_filled(room: dict[str, int]) -> None:
    assert grow(Growth(list(room)), room)[0] == sum(room.values())


@given(st.integers(1, 20_000))
def test_a_path_that_makes_room_by_losing_older_ones_is_full(room: int) -> None:
    assert grow(Growth(["a"]), {"a": room}, evicts=True)[0] == room


def test_batches_double_and_are_spread_once_some_were_refused() -> None:
    growth = Growth(["a"])
    assert (growth.size, growth.rate) == (FIRST, None)
    growth.judge({"a": 16}, {"a": 16}, grown=True)
    assert (growth.size, growth.rate) == (32, None)
    growth.judge({"a": 32}, {"a": 10}, grown=True)
    assert (growth.size, growth.rate) == (16, 32.0)
    growth.judge({"a": 16}, {"a": 16}, grown=True)
    assert (growth.size, growth.rate) == (32, 64.0)
    growth.judge({"a": 32}, {}, grown=True)
    assert growth.done


@pytest.mark.parametrize(("rate", "size"), [(0.5, 1), (5.0, 5), (100.0, 16)])
def test_a_rate_that_was_asked_for_is_kept(rate: float, size: int) -> None:
    growth = Growth(["a"], rate)
    assert (growth.size, growth.rate) == (size, rate)
    growth.judge({"a": 4}, {"a": 1}, grown=True)
    assert growth.rate
    assert growth.rate <= rate


def test_a_single_refusal_does_not_make_a_target_full() -> None:
    growth = Growth(["a", "b"])
    growth.judge({"a": 3, "b": 1}, {"a": 3}, grown=True)
    assert growth.targets == ["a", "b"]
    growth.judge({"a": 1, "b": 3}, {"a": 1}, grown=True)
    assert growth.targets == ["a"]


@given(
    st.integers(0, 5000),
    st.lists(st.tuples(st.integers(0, 20_000), st.booleans()), min_size=1, max_size=60).filter(
        lambda parts: not all(full for _, full in parts)
    ),
)
def test_a_batch_evens_out_the_parts_that_have_room(count: int, parts: list[tuple[int, bool]]) -> None:
    loads = [load for load, _ in parts]
    full = {number for number, (_, is_full) in enumerate(parts) if is_full}
    shares = spread_over(count, loads, full)
    assert sum(shares) == count
    assert all(shares[number] == 0 for number in full)
    after = [load + share for load, share in zip(loads, shares, strict=True)]
    given_some = [after[number] for number, share in enumerate(shares) if share]
    others = [after[number] for number in range(len(parts)) if number not in full]
    assert all(load <= min(others) + 1 for load in given_some)


@given(st.lists(st.integers(), min_size=1, max_size=20, unique=True), st.lists(st.integers(0, 50), max_size=8))
def test_parts_open_to_the_targets_in_the_turn_that_one_would(targets: list[int], shares: list[int]) -> None:
    turns = turns_of(targets, shares)
    opened = [list(islice(cycle(turn), share)) for turn, share in zip(turns, shares, strict=True)]
    assert list(chain(*opened)) == list(islice(cycle(targets), sum(shares)))
    assert all(len(turn) == len(set(turn)) for turn in turns)
