"""Tests of how figures are written."""

import json
from collections import Counter
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.render import as_json, by_reason, field, long_json, progress_bar, yes_no


@dataclass(frozen=True, slots=True)
class Inner:
    name: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Outer:
    count: int
    pair: tuple[int, int]
    counts: dict[str, int]
    inner: Inner


outers = st.builds(
    Outer,
    st.integers(),
    st.tuples(st.integers(), st.integers()),
    st.dictionaries(st.text(), st.integers()),
    st.builds(Inner, st.text(), st.none() | st.floats(allow_nan=False, allow_infinity=False)),
)


@pytest.mark.parametrize(
    ("label", "value", "line"),
    [
        ("Connections requested", 40, "Connections requested    : 40"),
        ("Ping through connections", "no", "Ping through connections : no"),
        ("Debug output", "yes", "Debug output             : yes"),
    ],
)
def test_a_field_is_a_line_that_scripts_read_already(label: str, value: object, line: str) -> None:
    """The colon of every field stands in the same column."""
    assert field(label, value) == line


def test_a_switch_is_yes_or_no() -> None:
    """A switch is shown as one word."""
    assert (yes_no(True), yes_no(False)) == ("yes", "no")


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, "0"),
        ({"rst": 0}, "0"),
        ({"rst": 5}, "5 (rst 5)"),
        ({"timeout": 2, "rst": 5}, "7 (rst 5, timeout 2)"),
        ({"rst": 1, "fin": 1, "refused": 3}, "5 (refused 3, fin 1, rst 1)"),
    ],
)
def test_counts_are_shown_with_their_reasons(counts: dict[str, int], text: str) -> None:
    """The total comes first, then what it is made of, greatest first and in the order of the names."""
    assert by_reason(counts) == text


@given(st.lists(st.sampled_from(["fin", "rst", "timeout", "refused"]), min_size=1))
def test_counts_add_up_to_the_total_shown(reasons: list[str]) -> None:
    """Every count is shown once, and the total is their sum."""
    total, _, parts = by_reason(Counter(reasons)).partition(" (")
    shown = {name: int(count) for name, count in (part.split() for part in parts.rstrip(")").split(", "))}
    assert shown == Counter(reasons)
    assert int(total) == len(reasons)


@given(st.lists(outers, max_size=3))
def test_json_is_one_line_that_reads_back(results: list[Outer]) -> None:
    """A dataclass is an object, a list of them is an array, and no text of theirs breaks the line."""
    text = as_json(results)
    assert text.splitlines() == [text]
    assert json.loads(text) == json.loads(json.dumps([asdict(result) for result in results]))


def test_json_has_no_needless_spaces() -> None:
    """A line is as short as it can be."""
    result = Outer(1, (2, 3), {"rst": 4}, Inner("a", None))
    assert as_json(result) == '{"count":1,"pair":[2,3],"counts":{"rst":4},"inner":{"name":"a","seconds":null}}'


@pytest.mark.parametrize(("value", "text"), [(b"hello", "hello"), ("\xfc".encode(), "\xfc"), (b"\xff\0", "\\xff\0")])
def test_bytes_are_text(value: bytes, text: str) -> None:
    """What was to be sent can be read, and what is no UTF-8 is escaped."""
    assert json.loads(as_json({"message": value})) == {"message": text}


def test_long_json_is_the_same_json() -> None:
    """What is made for a file reads as what is printed."""
    results = {"rows": [{"a": 1.5, "b": None, "c": [True, "x"]}] * 1000}
    assert long_json(results) == as_json(results)


@pytest.mark.parametrize("value", [object(), Inner, {1, 2}])
def test_what_has_no_json_form_is_a_bug(value: object) -> None:
    """A result of another kind is not shown as something it is not."""
    with pytest.raises(TypeError, match="has no JSON form"):
        as_json(value)


@pytest.mark.parametrize(
    ("held", "asked", "bar"),
    [
        (0, 10, "[          ]"),
        (1, 10, "[#         ]"),
        (5, 10, "[#####     ]"),
        (9_999, 10_000, "[######### ]"),
        (10, 10, "[##########]"),
        (20, 10, "[##########]"),
        (0, 0, "[##########]"),
        (5, 0, "[##########]"),
    ],
)
def test_a_progress_bar_is_full_when_all_is_there(held: int, asked: int, bar: str) -> None:
    """The bar is full from what was asked for up, and not before."""
    assert progress_bar(held, asked, 10) == bar


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(1, 40))
def test_a_progress_bar_has_its_width(held: int, asked: int, width: int) -> None:
    """The bar is as wide whatever it shows, and full exactly when nothing is missing."""
    bar = progress_bar(held, asked, width)
    assert len(bar) == width + 2
    assert bar.strip("[]").rstrip(" ").strip("#") == ""
    assert (bar == f"[{'#' * width}]") == (held >= asked)
