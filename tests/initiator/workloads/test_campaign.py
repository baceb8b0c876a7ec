"""Tests of the order in which goals are visited."""

from collections import Counter
from itertools import islice
from typing import Any

import pytest

from initiator.workloads.campaign import in_turn


@pytest.mark.parametrize("goals", [1, 2, 3, 8])
@pytest.mark.parametrize("period", [1, 2, 3, 4, 12])
def test_what_comes_round_with_a_period_meets_every_goal_as_often(goals: int, period: int) -> None:
    names: list[Any] = list(range(goals))
    visited = islice(in_turn(names, period), goals * period * 3)
    met = Counter((at % period, goal) for at, goal in enumerate(visited))
    assert met == {(place, goal): 3 for place in range(period) for goal in names}
