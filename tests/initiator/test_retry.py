"""Tests of a target's pauses and of its window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.retry import FIRST_PAUSE, FIRST_WINDOW, LONGEST_PAUSE, SETTLED, WIDEST_WINDOW, Retry


def failures(retry: Retry, count: int, now: float = 100.0, jitter: float = 0.0) -> list[float]:
    """Return the pauses of failures that follow each other, each after the pause of the one before."""
    pauses = []
    for _ in range(count):
        pauses.append(retry.failed(now, now, jitter))
        now += pauses[-1]
    return pauses


def test_each_pause_is_twice_as_long_up_to_the_longest() -> None:
    """A target that goes on failing is tried ever more seldom, down to once in half a minute."""
    pauses = failures(Retry(), 30)
    doubled = [FIRST_PAUSE * 2**step for step in range(30)]
    assert pauses == pytest.approx([min(pause, LONGEST_PAUSE) for pause in doubled])
    assert pauses[-1] == LONGEST_PAUSE


@given(st.floats(0, 1), st.integers(1, 40))
def test_jitter_shortens_a_pause_by_up_to_a_half(jitter: float, count: int) -> None:
    """Targets that failed together are not all tried at the same moment."""
    plain, drawn = failures(Retry(), count), failures(Retry(), count, jitter=jitter)
    assert drawn == pytest.approx([pause * (1 - jitter / 2) for pause in plain])
    assert all(pause / 2 <= drawn[at] <= pause for at, pause in enumerate(plain))


def test_attempts_that_failed_together_make_one_pause() -> None:
    """What began before the last failure is no news about the target."""
    retry = Retry()
    assert retry.failed(99.0, 100.0, 0.0) == FIRST_PAUSE
    assert retry.failed(99.5, 100.0, 0.0) == 0.0
    assert retry.failed(99.9, 107.0, 0.0) == 0.0
    assert retry.failed(100.0, 107.0, 0.0) == 2 * FIRST_PAUSE


def test_failures_after_a_settled_success_begin_anew() -> None:
    """A target whose sessions lasted is not punished for what was before."""
    retry = Retry()
    failures(retry, 5, now=10.0)
    retry.succeeded(100.0, 1)
    retry.succeeded(100.5, 1)
    assert retry.failed(101.5, 100.0 + SETTLED + 0.5, 0.0) == FIRST_PAUSE


def test_failures_soon_after_a_success_follow_the_earlier_ones() -> None:
    """A box that accepts and resets at once is paused for longer each time, though every attempt succeeds."""
    retry = Retry()
    now, pauses = 100.0, []
    for _ in range(5):
        retry.succeeded(now, 1)
        pauses.append(retry.failed(now, now + SETTLED / 2, 0.0))
        now += SETTLED / 2 + pauses[-1]
    assert pauses == pytest.approx([FIRST_PAUSE * 2**step for step in range(5)])


def test_a_success_counts_from_the_last_failure_on() -> None:
    """What was settled before a failure does not settle the attempts after it."""
    retry = Retry()
    retry.succeeded(10.0, 1)
    assert retry.failed(100.0, 100.0, 0.0) == FIRST_PAUSE
    retry.succeeded(100.5, 1)
    assert retry.failed(100.6, 100.6, 0.0) == 2 * FIRST_PAUSE


def test_the_window_opens_by_one_with_each_success() -> None:
    """A target is trusted with more at once as it answers, up to a bound."""
    retry = Retry()
    assert retry.window == FIRST_WINDOW
    retry.succeeded(1.0, 1)
    assert retry.window == FIRST_WINDOW + 1
    retry.succeeded(1.0, 10)
    assert retry.window == FIRST_WINDOW + 11
    retry.succeeded(1.0, WIDEST_WINDOW)
    assert retry.window == WIDEST_WINDOW
    retry.succeeded(1.0, 1)
    assert retry.window == WIDEST_WINDOW


def test_the_window_closes_to_one_with_a_failure() -> None:
    """A target that failed is tried by one attempt, and trusted again step by step."""
    retry = Retry()
    retry.failed(1.0, 1.0, 0.0)
    assert retry.window == 1
    retry.succeeded(2.0, 1)
    assert retry.window == 2


def test_an_attempt_of_before_does_not_close_the_window_again() -> None:
    """A late failure of an attempt that began before the last one leaves the window as it is."""
    retry = Retry()
    retry.failed(1.0, 1.0, 0.0)
    retry.succeeded(2.0, 5)
    assert retry.failed(0.5, 2.0, 0.0) == 0.0
    assert retry.window == 6


@given(
    st.lists(
        st.tuples(
            st.floats(0.01, 5),
            st.one_of(st.just(0), st.integers(1, 5_000)),
            st.floats(0, 5),
            st.floats(0, 1),
        ),
        max_size=60,
    )
)
def test_pauses_and_windows_stay_within_their_bounds(steps: list[tuple[float, int, float, float]]) -> None:
    """Whatever happens, a pause is none or from half the first to the longest, and one attempt is allowed."""
    retry, now = Retry(), 100.0
    for passed, succeeded, lasted, jitter in steps:
        now += passed
        if succeeded:
            retry.succeeded(now, succeeded)
        else:
            pause = retry.failed(now - lasted, now, jitter)
            assert pause == 0.0 or FIRST_PAUSE / 2 <= pause <= LONGEST_PAUSE
        assert 1 <= retry.window <= WIDEST_WINDOW
