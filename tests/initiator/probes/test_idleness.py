"""Tests of what idle sessions tell of a path's memory."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.probes.idleness import Memory, Spoken, idle_times, is_forgotten, keepalive_times, memory


@given(st.floats(0.1, 1e6))
def test_times_grow_up_to_the_longest_by_less_than_a_tenth(longest: float) -> None:
    times = idle_times(longest)
    assert times[-1] == longest
    assert times[0] == pytest.approx(min(1.0, longest / 20))
    assert all(low < high <= low * 1.1 for low, high in pairwise(times))
    assert len(times) <= 301


@given(st.floats(0.5, 100), st.floats(0.6, 120))
def test_the_bounds_lie_about_what_the_path_remembers(remembered: float, longest: float) -> None:
    groups = [[Spoken(idle, "rst" if idle > remembered else "")] * 3 for idle in idle_times(longest)]
    found = memory(groups)
    assert found.remembered <= remembered or found.forgotten is None
    if found.forgotten is None:
        assert longest <= remembered
        assert found.remembered == longest
    else:
        assert found.forgotten > remembered
        assert found.answers == {"rst": 3 * sum(idle > remembered for idle in idle_times(longest))}
    assert found.later == 0


GOOD, LOST = Spoken(1.0, ""), Spoken(2.0, "timeout")


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ([], Memory(0.0, None, {}, {}, 0)),
        ([[]], Memory(0.0, None, {}, {}, 0)),
        ([[GOOD, LOST]], Memory(0.0, None, {}, {}, 0)),
        ([[GOOD], [LOST]], Memory(1.0, 2.0, {"timeout": 1}, {}, 0)),
        ([[GOOD], [Spoken(3.0, "fin", True)]], Memory(1.0, 3.0, {}, {"fin": 1}, 0)),
        ([[Spoken(5.0, "")], [GOOD], [LOST]], Memory(1.0, 2.0, {"timeout": 1}, {}, 1)),
    ],
)
def test_a_group_counts_only_when_its_sessions_agree(groups: list[list[Spoken]], found: Memory) -> None:
    assert memory(groups) == found


def test_a_group_without_sessions_is_not_forgotten() -> None:
    assert not is_forgotten([])
    assert is_forgotten([LOST, LOST])
    assert not is_forgotten([LOST, GOOD])


@pytest.mark.parametrize(("longest", "times"), [(1.0, []), (1.5, [1]), (6.0, [1, 2, 5]), (10.0, [1, 2, 5])])
def test_keepalive_is_tried_at_whole_seconds_below_the_longest(longest: float, times: list[int]) -> None:
    assert keepalive_times(longest) == times
