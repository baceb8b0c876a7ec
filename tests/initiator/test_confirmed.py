"""Tests of how many sessions have been confirmed."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from initiator.confirmed import WINDOW, Confirmed


def test_nothing_is_confirmed_before_an_answer() -> None:
    """Without an answer both counts are none, and a session that had none takes nothing away."""
    confirmed = Confirmed()
    assert (confirmed.ever, confirmed.last_minute(100.0)) == (0, 0)
    confirmed.lost(0.0)
    assert (confirmed.ever, confirmed.last_minute(100.0)) == (0, 0)


def test_a_session_counts_once_however_often_it_answers() -> None:
    """A later answer takes the place of the earlier one."""
    confirmed = Confirmed()
    confirmed.answered(0.0, 100.0)
    confirmed.answered(100.0, 100.5)
    confirmed.answered(100.5, 130.0)
    assert (confirmed.ever, confirmed.last_minute(130.0)) == (1, 1)


def test_an_answer_is_forgotten_after_a_minute() -> None:
    """A session that has not answered for a minute has still been confirmed once."""
    confirmed = Confirmed()
    confirmed.answered(0.0, 100.0)
    assert confirmed.last_minute(100.0 + WINDOW - 1) == 1
    assert confirmed.last_minute(100.0 + WINDOW + 1) == 0
    assert confirmed.ever == 1


def test_a_lost_session_is_taken_out() -> None:
    """What is counted are held sessions alone, whether they answered just now or long ago."""
    confirmed = Confirmed()
    for now in (100.0, 150.0, 500.0):
        confirmed.answered(0.0, now)
    confirmed.lost(500.0)
    confirmed.lost(100.0)
    assert (confirmed.ever, confirmed.last_minute(500.0)) == (1, 0)
    confirmed.lost(150.0)
    assert (confirmed.ever, confirmed.last_minute(500.0)) == (0, 0)


class ConfirmedMachine(RuleBasedStateMachine):
    """The counts beside a list of every session's latest answer."""

    @initialize(now=st.floats(1, 1e6))
    def start(self, now: float) -> None:
        """Begin with no session."""
        self.confirmed = Confirmed()
        self.answers: list[float] = []
        self.now = now

    @rule(seconds=st.floats(0, 2) | st.floats(0, 3 * WINDOW))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(count=st.integers(1, 5))
    def open(self, count: int) -> None:
        """Open sessions, which have had no answer."""
        self.answers += [0.0] * count

    @precondition(lambda self: self.answers)
    @rule(at=st.integers(0, 100), count=st.integers(1, 5))
    def answer(self, at: int, count: int) -> None:
        """Let sessions answer, for the first time or again."""
        for index in range(at, at + count):
            index %= len(self.answers)
            self.confirmed.answered(self.answers[index], self.now)
            self.answers[index] = self.now

    @precondition(lambda self: self.answers)
    @rule(at=st.integers(0, 100))
    def lose(self, at: int) -> None:
        """Lose a session."""
        self.confirmed.lost(self.answers.pop(at % len(self.answers)))

    @invariant()
    def agrees(self) -> None:
        """Count by hand: ever exactly, the last minute to within a second that is missing at its far end."""
        assert self.confirmed.ever == sum(1 for answer in self.answers if answer)
        young = sum(1 for answer in self.answers if answer and answer > self.now - (WINDOW - 1))
        all_young = sum(1 for answer in self.answers if answer and answer > self.now - WINDOW)
        assert young <= self.confirmed.last_minute(self.now) <= all_young


ConfirmedMachine.TestCase.settings = settings(deadline=None, stateful_step_count=30)
TestConfirmed = ConfirmedMachine.TestCase
