"""Tests of the search for a rate, against a bucket of tokens that stands for a limiting box."""

import math
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from initiator.probes.narrowing import Narrowing, Outcome, Phase, Trial, outcome_of

# Trials after which a search must have come to its end.
MOST = 60


class Bucket:
    """A box that takes `rate` new sessions a second, and `burst` at once when it was idle; 0 is no limit."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = self.tokens = burst
        self.at = 0.0

    def take(self, now: float) -> bool:
        """Return whether a session that begins at a time is let through."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def make(
    trial: Trial, box: Bucket, fastest: float, pause: float, stands_still: float = 0.0, late: float = 0.0
) -> Outcome:
    """Return what becomes of a trial of a host that can send so many a second, and has rested for a while.

    It stands still for so many seconds right after the first failure, and as `late` at the end of what comes before
    what is judged.
    """
    begin, at, sent, succeeded = box.at + pause, 0.0, [], []
    uneven, until, first = False, trial.seconds, None
    judged_from = trial.seconds - trial.segments[-1][1]
    for rate, seconds in trial.segments:
        really = min(rate, fastest)
        for number in range(math.ceil(seconds * really)):
            when = at + number / really + 1e-6  # a bit later than it is due
            if (first is not None and 0 < when - first < stands_still) or 0 < judged_from - when < late:
                continue
            sent.append(when)
            succeeded.append(box.take(begin + when))
            if when >= judged_from and not succeeded[-1] and first is None:
                first = when
            if trial.steady and first is not None and when - first > trial.steady:
                until = when
                break
        uneven |= really < rate
        at += seconds
    return outcome_of(sent, succeeded, judged_from, until, uneven)


def search(box: Bucket, seconds: float = 1.0, fastest: float = 20_000.0, pause: float = 1.0) -> Narrowing:
    narrowing = Narrowing(seconds)
    for _ in range(MOST):
        if narrowing.trial is None:
            return narrowing
        narrowing.judge(make(narrowing.trial, box, fastest, pause))
    raise AssertionError("no end")


def overloaded() -> Narrowing:
    """Return a search whose path has failed at 200 a second, and has taken 100 of 300."""
    narrowing = Narrowing(1.0)
    narrowing.judge(Outcome(0, 100.0, False, None, 0, 0.0))
    for _ in range(3):
        narrowing.judge(Outcome(9, 200.0, False, 0.1, 100, 1.0))
    narrowing.judge(Outcome(9, 300.0, False, 0.5, 100, 1.0))
    return narrowing


def passed(rate: float, late: bool) -> Outcome:
    """Return what becomes of a try that does well, after the path was overloaded to the end."""
    return Outcome(0, rate, late, None, 0, 0.0, since=0.0)


def rate_of(narrowing: Narrowing) -> float:
    """Return the rate that is tried next."""
    assert narrowing.trial
    return narrowing.trial.rate


@given(st.floats(20, 4000), st.floats(2, 2000))
@settings(max_examples=60)
def test_a_limit_is_found_whatever_it_allows_in_a_burst(rate: float, burst: float) -> None:
    found = search(Bucket(rate, burst))
    assert not found.host_bound
    assert abs(found.good - rate) <= 0.1 * rate + 2
    assert found.taken
    assert abs(found.taken - rate) <= 0.1 * rate + 2
    assert found.bad
    assert found.good < found.bad <= rate * 1.15 + 2


def test_where_nothing_is_limited_this_host_is_the_bound() -> None:
    found = search(Bucket(1e9, 1e9), fastest=3_000.0)
    assert found.host_bound
    assert found.bad is None
    assert 2_700 < found.good <= 3_000


def test_where_everything_fails_nothing_is_found() -> None:
    found = search(Bucket(0.0, 0.0))
    assert (found.good, found.taken) == (0.0, 0.0)
    assert not found.host_bound


def test_a_failure_that_does_not_come_again_is_none_of_the_path() -> None:
    narrowing = Narrowing(1.0)
    narrowing.judge(Outcome(1, 100.0, False, 0.1, 90, 1.0))
    assert rate_of(narrowing) == 100.0
    narrowing.judge(Outcome(0, 100.0, False, None, 0, 0.0))
    assert rate_of(narrowing) == 200.0


def test_a_host_that_is_late_is_asked_for_more_before_it_is_the_bound() -> None:
    narrowing = overloaded()
    assert rate_of(narrowing) == 97.0
    narrowing.judge(passed(80.0, late=True))
    assert rate_of(narrowing) > 110
    narrowing.judge(passed(96.0, late=True))
    assert narrowing.good == 96.0
    for _ in range(5):
        assert not narrowing.host_bound
        narrowing.judge(passed(80.0, late=True))
    assert narrowing.host_bound
    assert (narrowing.good, narrowing.bad) == (96.0, 200.0)


@pytest.mark.parametrize(("times", "host_bound"), [(1, False), (4, False), (9, True)])
def test_a_try_does_not_live_on_what_this_host_left_of_the_allowance(times: int, host_bound: bool) -> None:
    box, narrowing, late = Bucket(300.0, 300.0), Narrowing(1.0), 0
    while narrowing.trial:
        is_try = narrowing.trial.phase is Phase.TRY
        late += is_try
        narrowing.judge(make(narrowing.trial, box, 20_000.0, 0.02, late=0.4 if is_try and late <= times else 0.0))
    assert narrowing.host_bound == host_bound
    if host_bound:
        assert narrowing.good == 0
    else:
        assert 285 <= narrowing.good < 300


def test_where_the_limit_is_gone_meanwhile_the_search_goes_on() -> None:
    box, narrowing = Bucket(300.0, 30.0), Narrowing(1.0)
    for _ in range(MOST):
        if narrowing.trial is None:
            break
        if narrowing.trial.phase is Phase.TRY:
            box.rate = box.burst = 1e9
        narrowing.judge(make(narrowing.trial, box, 20_000.0, 1.0))
    assert narrowing.good > 360
    assert not narrowing.host_bound


@given(st.floats(150, 4000), st.floats(5, 200))
@settings(max_examples=60)
def test_what_a_limit_lets_through_at_once_is_told(rate: float, burst: float) -> None:
    found = search(Bucket(rate, burst))
    assert found.burst
    # A step that did well has used some of it up.
    assert min(0.3 * burst, 0.1 * rate) - 3 <= found.burst <= burst + 3


@pytest.mark.parametrize("seconds", [1.0, 10.0, 60.0])
@pytest.mark.parametrize("burst", [300.0, 3_000.0, 30_000.0])
def test_what_a_long_try_left_of_the_allowance_does_not_help_the_next_one(burst: float, seconds: float) -> None:
    found = search(Bucket(300.0, burst), seconds, pause=0.02)
    assert found.bad
    assert 290 <= found.good < 300 < found.bad < 320


def test_a_rate_is_not_blamed_for_what_failed_at_the_higher_one_that_was_asked_for() -> None:
    narrowing = overloaded()
    narrowing.judge(passed(80.0, late=True))
    assert rate_of(narrowing) == pytest.approx(97.0 * 97.0 / 80.0)
    narrowing.judge(Outcome(1, 117.0, False, 0.5, 90, 1.0))
    assert rate_of(narrowing) == 97.0
    narrowing.judge(passed(97.0, late=False))
    assert (narrowing.good, narrowing.bad) == (97.0, 200.0)


def test_a_host_that_is_slow_and_a_path_that_is_slower() -> None:
    found = search(Bucket(400.0, 20.0), fastest=500.0)
    assert not found.host_bound
    assert 360 < found.good <= 400
    assert found.bad


@given(st.integers(0, 1 << 32), st.floats(0.1, 0.9))
def test_whatever_happens_the_search_ends_and_its_bounds_are_in_order(seed: int, failing: float) -> None:
    rng = random.Random(seed)
    narrowing = Narrowing(1.0)
    for _ in range(MOST):
        if narrowing.trial is None:
            break
        rate, failed = rate_of(narrowing), rng.random() < failing
        sent = min(rate, 1e6) * rng.uniform(0.5, 1.1)
        narrowing.judge(
            Outcome(int(failed), sent, rng.random() < 0.5, 0.5 if failed else None, int(rate / 2), float(failed))
        )
        assert narrowing.bad is None or narrowing.good < narrowing.bad
    assert narrowing.trial is None


def test_only_what_is_judged_counts() -> None:
    sent, succeeded = [0.0, 1.0, 2.0, 3.0, 3.5, 4.0, 4.5], [False, True, True, False, True, True, True]
    assert outcome_of(sent, succeeded, 2.0, 4.5, False) == Outcome(1, 2.0, False, 3.0, 3, 1.5, since=2.0, passed=1)
    assert outcome_of([], [], 0.0, 0.0, True) == Outcome(0, 0.0, True, None, 0, 0.0)


def test_one_that_was_begun_before_a_pause_and_sent_after_it_is_not_taken_for_a_fast_one() -> None:
    box, begun, succeeded, at = Bucket(50.0, 5.0), [], [], 0.0
    rng = random.Random(1)
    for _ in range(100_000):
        at += 0.0002
        begun.append(at)
        if rng.random() < 0.01:
            at += rng.uniform(0.02, 0.06)
        succeeded.append(box.take(at))
    outcome = outcome_of(begun, succeeded, 0.0, at, True)
    assert outcome.overloaded > 10
    assert abs(outcome.taken / outcome.overloaded - 50) <= 2.5


@given(st.integers(0, 1 << 32))
@settings(max_examples=20)
def test_what_is_taken_does_not_depend_on_when_a_busy_host_delivers_what_was_sent(seed: int) -> None:
    """Gaps of some milliseconds, behind each of which all goes out at once: short of the allowance, none is lost."""
    rng, box, sent, succeeded, at = random.Random(seed), Bucket(1000.0, 30.0), [], [], 0.0
    while at < 2.0:
        end = at + rng.uniform(0.002, 0.01)
        together = [at + number / 2400 for number in range(int((end - at) * 2400))]
        sent += together
        succeeded += [box.take(end) for _ in together]
        at = end + rng.uniform(0.0, 0.004)
    outcome = outcome_of(sent, succeeded, 0.0, at, True)
    assert outcome.overloaded > 1.5
    assert abs(outcome.taken / outcome.overloaded - 1000) <= 30


def test_a_host_that_only_reaches_what_fails_is_not_the_bound() -> None:
    narrowing = overloaded()
    narrowing.judge(passed(97.0, late=False))
    wanted = rate_of(narrowing)
    for _ in range(2):
        narrowing.judge(passed(0.96 * wanted, late=True))
        narrowing.judge(Outcome(5, 1.01 * wanted, True, 0.5, 90, 1.0, since=0.0))
    narrowing.judge(passed(0.96 * wanted, late=True))
    assert not narrowing.host_bound
    assert narrowing.bad
    assert wanted <= narrowing.bad < 1.05 * wanted


@example(50.0, 13.0, [(1.0, 0.25), (1.0, 0.125), (1.0, 0.125)], 2.0)
@given(
    st.floats(50, 2000),
    st.floats(2, 20),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.05, 0.4)), max_size=4),
    st.floats(1.5, 3),
)
def test_what_an_overloaded_path_takes_does_not_depend_on_the_pauses_of_this_host(
    rate: float, burst: float, pauses: list[tuple[float, float]], times: float
) -> None:
    box, sent, at = Bucket(rate, burst), [], 0.0
    waiting = sorted(pauses)
    while at < 3 + sum(seconds for _, seconds in pauses):
        at += 1 / (rate * times)
        if waiting and at > waiting[0][0]:
            at += waiting.pop(0)[1]
        sent.append(at)
    outcome = outcome_of(sent, [box.take(at) for at in sent], 0.0, at, True)
    assert abs(outcome.taken - rate * outcome.overloaded) <= 1 + len(pauses)
    assert outcome.overloaded > 1


@pytest.mark.parametrize(("times", "host_bound"), [(1, False), (3, False), (9, True)])
def test_an_overload_in_which_this_host_stood_still_is_made_again(times: int, host_bound: bool) -> None:
    box, narrowing, overloads = Bucket(150.0, 5.0), Narrowing(1.0), 0
    while narrowing.trial:
        overloads += narrowing.trial.phase is Phase.OVERLOAD
        stands_still = 0.97 if narrowing.trial.phase is Phase.OVERLOAD and overloads <= times else 0.0
        narrowing.judge(make(narrowing.trial, box, 20_000.0, 1.0, stands_still))
    assert narrowing.host_bound == host_bound
    assert overloads == min(times + 1, 5)
    if not host_bound:
        assert narrowing.taken
        assert 145 <= narrowing.taken <= 155
        assert 135 <= narrowing.good <= 150
