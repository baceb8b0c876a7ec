"""Tests of the order in which goals are visited."""

from collections import Counter
from itertools import islice, pairwise
from random import Random
from typing import Any

import pytest

from initiator.workloads.goals import in_turn


@pytest.mark.parametrize("goals", [1, 2, 3, 8])
@pytest.mark.parametrize("period", [1, 2, 3, 4, 12])
def test_what_comes_round_with_a_period_meets_every_goal(goals: int, period: int) -> None:
    names: list[Any] = list(range(goals))
    visited: list[Any] = list(islice(in_turn(names, period, Random(1).random), period * 100))
    met = Counter((at % period, goal) for at, goal in enumerate(visited))
    assert len(met) == period * goals
    for at, (goal, following) in enumerate(pairwise(visited), 1):
        assert at % period == 0 or following == (goal + 1) % goals
