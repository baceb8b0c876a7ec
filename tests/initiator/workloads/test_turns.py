"""Tests of the turns of sessions that send equally often."""

from collections import Counter
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.workloads.turns import TOLERANCE, Due, Turns

rates = st.sampled_from([0.1, 0.5, 1.0, 3.0, 50.0, 99.0, 1000.0, 12345.0])


@given(rates, st.lists(st.floats(0.0001, 0.05), min_size=1, max_size=60))
def test_each_session_sends_at_its_rate_and_nothing_is_missed_when_looked_at_often(
    rate: float, pauses: list[float]
) -> None:
    turns, now, sent = Turns(rate, 100.0), 100.0, Counter[int]()
    for pause in pauses:
        now += pause
        for due in turns.take(now):
            assert due.missed == 0
            assert due.since <= now
            sent[due.slot] += due.messages
    place = {due.slot: turn for turn, due in enumerate(in_turn(Turns(rate, 0.0), 1))}
    for slot in range(turns.slots):
        passed = now - 100.0 - place[slot] * turns.period / turns.slots
        expected = int(passed * rate) + 1 if passed >= 0 else 0
        assert abs(sent[slot] - expected) <= 1
    assert turns.next_due >= now - 1e-9


@given(rates, st.floats(0.0, 100.0))
def test_after_a_stall_what_is_too_late_is_missed_and_counted(rate: float, stall: float) -> None:
    turns = Turns(rate, 0.0)
    taken = list(turns.take(stall))
    total = sum(due.messages + due.missed for due in taken)
    assert total == pytest.approx(stall * rate * turns.slots, abs=turns.slots + 1)
    for due in taken:
        assert due.messages <= max(1, TOLERANCE * rate + 1)
    assert list(turns.take(stall)) == []


@given(rates, st.integers(1, 5000))
def test_turns_are_evenly_apart(rate: float, number: int) -> None:
    turns = Turns(rate, 0.0)
    gap = turns.period / turns.slots
    list(turns.take((number - 0.5) * gap))
    due = next(iter(turns.take((number + 0.5) * gap)))
    assert due.since == pytest.approx(number * gap)
    assert due.messages == 1


def in_turn(turns: Turns, periods: int) -> list[Due]:
    """Return what is due in the next turns of so many periods, each looked at in its middle."""
    gap = turns.period / turns.slots
    return [due for turn in range(periods * turns.slots) for due in turns.take((turn + 0.5) * gap)]


@given(st.floats(0.01, 2000.0))
def test_each_slot_has_one_turn_in_a_period_and_a_period_lies_between_its_messages(rate: float) -> None:
    turns = Turns(rate, 0.0)
    taken = in_turn(turns, 2)
    first, second = taken[: turns.slots], taken[turns.slots :]
    assert sorted(due.slot for due in first) == list(range(turns.slots))
    for one, other in zip(first, second, strict=True):
        assert one.slot == other.slot
        assert other.since - one.since == pytest.approx(turns.period)
        assert one.messages == other.messages == 1


@given(st.floats(0.01, 2000.0), st.integers(1, 30_000), st.data())
def test_any_number_of_sessions_is_spread_evenly_over_a_period(rate: float, sessions: int, data: st.DataObject) -> None:
    """In any turns in a row as many are due as their share is, but for 4: the worst of all is 3.92."""
    turns = Turns(rate, 0.0)
    sending = [len(range(due.slot, sessions, turns.slots)) for due in in_turn(turns, 2)]
    begin = data.draw(st.integers(0, turns.slots))
    length = data.draw(st.integers(1, turns.slots))
    assert abs(sum(sending[begin : begin + length]) - sessions * length / turns.slots) < 4


@given(rates, st.sampled_from([0.5, 1.0, 2.0, 7.0]), st.lists(st.floats(0.0001, 0.05), min_size=1, max_size=60))
def test_every_turn_before_the_end_is_taken_though_it_is_looked_at_later(
    rate: float, seconds: float, pauses: list[float]
) -> None:
    turns, now, ends, taken = Turns(rate, 100.0), 100.0, 100.0 + seconds, 0
    for pause in [*pauses, seconds]:
        now += pause
        for due in turns.take(now, ends):
            assert due.messages >= 0
            assert due.missed >= 0
            taken += due.messages + due.missed
    # One at the very end is not due any more.
    assert taken == ceil(seconds * rate * turns.slots - 0.001)
    assert list(turns.take(now + 1, ends)) == []


@given(rates, st.floats(0.0, 50.0), st.floats(0.0, 5.0))
def test_what_is_skipped_is_never_due(rate: float, gap: float, more: float) -> None:
    turns = Turns(rate, 100.0)
    turns.skip(100.0 + gap)
    taken = list(turns.take(100.0 + gap + more))
    for due in taken:
        assert due.since - due.missed * turns.period >= 100.0 + gap - turns.period / 1000 - 1e-9
    total = sum(due.messages + due.missed for due in taken)
    assert total == pytest.approx(more * rate * turns.slots, abs=2)
    turns.skip(100.0)
    assert list(turns.take(100.0 + gap + more)) == []


def test_what_is_too_late_at_the_end_is_missed() -> None:
    turns = Turns(1000.0, 0.0)
    list(turns.take(0.5, 1.0))
    (due,) = turns.take(1.05, 1.0)
    assert due.messages + due.missed == 499
    assert due.messages == pytest.approx(1000 * (TOLERANCE - 0.05), abs=1)
    assert due.since == pytest.approx(1.05 - TOLERANCE, abs=0.002)
