"""Tests of rounds and turns."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from responder.rounds import TURN, Rounds

rates = st.floats(0.01, 1e6)
mosts = st.integers(1, 10_000)
starts = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("rate", "each", "slots", "seconds"),
    [
        (1, 1, 200, 0.005),
        (10, 1, 20, 0.005),
        (150, 1, 1, 1 / 150),
        (200, 1, 1, 0.005),
        (300, 2, 1, 1 / 150),
        (100_000, 500, 1, 0.005),
        (0.01, 1, 1000, 0.1),
    ],
)
def test_a_round_brings_a_message_or_a_turn_of_some_milliseconds_brings_several(
    rate: float, each: int, slots: int, seconds: float
) -> None:
    rounds = Rounds(rate, 10_000)
    assert (rounds.each, rounds.slots) == (each, slots)
    assert rounds.seconds == pytest.approx(seconds)


@given(rates, mosts)
def test_everybody_gets_the_rate(rate: float, most: int) -> None:
    rounds = Rounds(rate, most)
    assert 1 <= rounds.each <= most
    assert rounds.each / (rounds.slots * rounds.seconds) == pytest.approx(rate)
    assert rounds.seconds <= 2 * TURN or rounds.slots == 1000


@given(rates, starts, st.integers(1, 3_000))
def test_slots_have_their_turns_one_after_the_other(rate: float, start: float, count: int) -> None:
    rounds = Rounds(rate, 10_000)
    rounds.begin(start)
    now = start
    for number in range(count):
        assert rounds.slot == number % rounds.slots
        assert rounds.wait(now) == pytest.approx(max(0.0, start + number * rounds.seconds - now), abs=1e-6)
        now += rounds.wait(now)
        assert rounds.go_on(now) == []


@given(rates, starts, st.lists(st.floats(0, 100), max_size=50))
def test_every_turn_is_had_or_missed(rate: float, start: float, delays: list[float]) -> None:
    """However late it gets, no turn is told twice, none is forgotten, and none whose time is not over is missed."""
    rounds = Rounds(rate, 10_000)
    rounds.begin(start)
    now, turns = start, Counter({rounds.slot: 1})
    for delay in delays:
        now += rounds.wait(now) + delay * rounds.seconds
        turns.update(dict(rounds.go_on(now)))
        turns[rounds.slot] += 1
    had = sum(turns.values())
    assert had >= len(delays) + 1
    assert all(turns[slot] == (had - slot + rounds.slots - 1) // rounds.slots for slot in turns)
    assert rounds.slot == (had - 1) % rounds.slots
    assert start + had * rounds.seconds >= now - 2 * rounds.seconds - 1e-3


def test_one_that_is_late_by_less_than_a_turn_is_not_missed() -> None:
    rounds = Rounds(200, 1)
    rounds.begin(100.0)
    assert rounds.go_on(100.0099) == []
    assert rounds.wait(100.0099) == 0.0
    assert rounds.go_on(100.0251) == [(0, 3)]
    assert rounds.wait(100.0251) == 0.0
    assert rounds.go_on(100.0252) == []
    assert rounds.wait(100.0252) == pytest.approx(0.0048)
