"""Rates as functions of time."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from initiator.workloads.schedule import Schedule, Segment, constant, parse_schedule, parse_slopes

segments = st.builds(
    Segment,
    seconds=st.floats(0.1, 100),
    rate=st.floats(0, 1000).map(lambda rate: 0.0 if rate < 0.01 else rate),
    slope=st.floats(-100, 100),
)
schedules = st.lists(segments, min_size=1, max_size=6).map(lambda parts: Schedule(tuple(parts)))


def test_a_constant_rate_has_no_end() -> None:
    schedule = constant(50)
    assert schedule.rate_at(1e6) == 50
    assert schedule.expected(10) == 500
    assert schedule.inverse(500) == 10
    assert math.isinf(schedule.seconds)
    assert math.isinf(schedule.total)


def test_a_schedule_is_told_in_a_few_words() -> None:
    assert str(parse_schedule("200ms 100")) == "1 step over 0.2s, 20 in all"
    assert str(parse_schedule("200ms 100\n200ms 1000")) == "2 steps over 0.4s, 220 in all"


def test_a_slope_ends_where_it_leads() -> None:
    schedule = parse_slopes("10s 42", 0)
    assert schedule.rate_at(9.999999) == pytest.approx(420, rel=1e-6)
    assert schedule.total == pytest.approx(2100)
    assert schedule.inverse(2100) == pytest.approx(10)


def test_slopes_go_on_from_where_the_last_one_ended() -> None:
    schedule = parse_slopes("2s 10\n3s 0\n4s -5", 100)
    assert [schedule.rate_at(t) for t in (0, 1, 2, 4, 5, 7)] == [100, 110, 120, 120, 120, 110]


def test_a_rate_does_not_fall_below_nothing() -> None:
    schedule = parse_slopes("10s -20\n1s 10", 100)
    assert schedule.expected(5) == 250
    assert schedule.expected(10) == 250
    assert schedule.rate_at(8) == 0
    assert schedule.rate_at(10.5) == pytest.approx(5)


@pytest.mark.parametrize("text", ["4s 20\n4s 200", "2\n4000 20\n4000 200", "# steps\n\n4000ms 20 # slow\n4s 200\n"])
def test_files_of_either_kind_are_read(text: str) -> None:
    schedule = parse_schedule(text)
    assert (schedule.seconds, schedule.total) == (8, 880)
    assert schedule.expected(4) == 80
    assert math.isinf(schedule.inverse(881))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no line"),
        ("4s", "line 1: it has 1 words"),
        ("4s 20\n4s x", 'line 2: "x" is not a number'),
        ("4s 20\n4s nan", 'line 2: "nan" is not a number'),
        ("x 20", 'line 1: "x" is not a time'),
        ("0 20", 'line 1: "0" lasts no time'),
        ("4s -1", "line 1: a rate cannot be below 0"),
        ("3\n4000 20\n4000 200", "announces 3 lines, and 2 follow"),
        ("4s 20 30", "line 1: it has 3 words"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(text: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        parse_schedule(text)


@given(schedules, st.floats(0, 1))
def test_the_inverse_finds_when_so_many_are_due(schedule: Schedule, share: float) -> None:
    count = schedule.total * share
    assert schedule.expected(schedule.inverse(count)) == pytest.approx(count, rel=1e-6, abs=1e-6)


@given(schedules, st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_what_is_due_never_shrinks(schedule: Schedule, shares: list[float]) -> None:
    counts = [schedule.expected(schedule.seconds * share) for share in sorted(shares)]
    assert all(before <= after + 1e-9 for before, after in pairwise(counts))
    assert all(count <= schedule.total + 1e-9 for count in counts)
