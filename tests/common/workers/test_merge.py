"""Tests of how the figures of several workers become those of the whole."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.workers.merge import add_counts, departed, first, merge_rows, merged


@dataclass(frozen=True, slots=True)
class Inner:
    asked: float | None
    rate: float


@dataclass(frozen=True, slots=True)
class Figures:
    name: str
    held: int
    rate: float
    depth: int
    on: bool
    losses: dict[str, int]
    kinds: tuple[str, ...]
    inner: Inner | None
    note: str | None = None


def figures(**changes: object) -> Figures:
    """Return figures that say nothing but these."""
    values = {"name": "", "held": 0, "rate": 0.0, "depth": 0, "on": False, "losses": {}, "kinds": (), "inner": None}
    return Figures(**{**values, **changes})  # type: ignore[arg-type]


PARTS = st.lists(
    st.builds(
        figures,
        held=st.integers(0, 99),
        depth=st.integers(0, 9),
        on=st.booleans(),
        losses=st.dictionaries(st.sampled_from(("fin", "rst")), st.integers(0, 9)),
        inner=st.none() | st.builds(Inner, st.none() | st.integers(0, 9), st.integers(0, 9)),
    ),
    min_size=1,
    max_size=6,
)


def test_each_kind_of_figure_is_merged_as_what_it_is() -> None:
    one = figures(name="a", held=3, rate=1.5, depth=7, on=True, losses={"fin": 1}, kinds=("ports",), inner=Inner(1, 5))
    two = figures(name="a", held=4, rate=0.5, depth=2, losses={"fin": 2, "rst": 1}, inner=Inner(None, 4), note="dump")
    whole = merged([one, two], {"depth": max, "Inner.rate": min, "name": first})
    assert whole == figures(
        name="a",
        held=7,
        rate=2.0,
        depth=7,
        on=True,
        losses={"fin": 3, "rst": 1},
        kinds=("ports",),
        inner=Inner(1, 4),
        note="dump",
    )


@given(PARTS, st.integers(1, 6))
def test_it_does_not_matter_who_is_merged_first(parts: list[Figures], at: int) -> None:
    rules = {"depth": max}
    whole = merged(parts, rules)
    groups = [group for group in (parts[:at], parts[at:]) if group]
    assert merged([merged(group, rules) for group in groups], rules) == whole
    assert whole.held == sum(part.held for part in parts)
    losses: Counter[str] = Counter()
    for part in parts:
        losses.update(part.losses)
    assert whole.losses == losses


def test_one_part_is_the_whole() -> None:
    one = figures(name="a", held=3, losses={"fin": 1}, inner=Inner(None, 2.0))
    assert merged([one], {"depth": max}) == one


def test_what_has_no_rule_is_refused() -> None:
    with pytest.raises(TypeError, match="set"):
        merged([figures(kinds={1})], {})


def test_rows_that_are_of_the_same_thing_become_one() -> None:
    rows = [[figures(name="a", held=1), figures(name="b", held=2)], [figures(name="b", held=5)]]
    assert [(row.name, row.held) for row in merge_rows(rows, "name", {})] == [("a", 1), ("b", 7)]


def test_what_is_of_the_moment_ends_with_a_worker() -> None:
    one = figures(name="a", held=3, on=True, losses={"fin": 2}, kinds=("ports",), inner=Inner(4, 5.0))
    gauges = ("held", "on", "kinds", "rate")
    assert departed(one, gauges) == figures(name="a", losses={"fin": 2}, inner=Inner(4, 0.0))


def test_counts_are_added_by_name() -> None:
    assert add_counts([{"a": 1}, {}, {"a": 2, "b": 3}]) == {"a": 3, "b": 3}
