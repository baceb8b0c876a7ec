r"""Tests of random text from regular expressions."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from initiator.workloads.random_text import parse_regex

EXPRESSIONS = [
    "abc",
    "[a-z]{8}",
    "[A-Za-z0-9_.-]+",
    "[^a-z]*",
    r"\d{1,3}(\.\d{1,3}){3}",
    "(GET|POST|PUT) /[a-z]+(/[a-z]+)?",
    ".{0,5}",
    r"\w+\s\[x\]\n",
    "[]x]{4}",
    r"[\d\-]{20}",
    "",
    "(|a)b",
    "(a{1000}){10}",
    "(" * 50 + "a" + ")" * 50,
    "(a)" * 60,
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_drawn_matches(expression: str) -> None:
    draw, random = parse_regex(expression), Random(1)
    for _ in range(200):
        assert re.fullmatch(expression, draw(random))


@pytest.mark.parametrize("expression", ["[a-c]{2}", "(x|y){3}", "a*"])
def test_everything_is_drawn_in_time(expression: str) -> None:
    draw, random = parse_regex(expression), Random(2)
    assert len({draw(random) for _ in range(2000)}) == {"[a-c]{2}": 9, "(x|y){3}": 8, "a*": 17}[expression]


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("(a", "not closed"),
        ("a)", "stands alone"),
        ("[a", "ends too early"),
        ("a\\", "ends too early"),
        ("*", "stands alone"),
        ("a{2", "a repetition is like"),
        ("a{3,2}", "a repetition is like"),
        ("a{5000}", "a repetition is like"),
        ("[z-a]", "is no range"),
        (r"\q", "is not known"),
        ("[^ -~]", "has no character"),
        ("(" * 1500 + "a" + ")" * 1500, "brackets are nested more than 50 deep"),
        ("(a{1000}){1000}", "it may be longer than 10000 characters"),
        ("(){1000}" * 11, "it may be longer than 10000 characters"),
        ("((){1000}){1000}", "it may be longer than 10000 characters"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(expression: str, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        parse_regex(expression)


@given(st.text(alphabet="ab[](){}|?*+\\.-^,19", max_size=12))
def test_any_text_is_drawn_from_or_refused(expression: str) -> None:
    try:
        draw = parse_regex(expression)
    except UsageError:
        return
    draw(Random(0))
