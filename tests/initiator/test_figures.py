"""Tests of the figures that something is expected of, and of the verdicts on them."""

from dataclasses import replace

import pytest

from initiator.expectations import parse_expectation
from initiator.figures import figures_of
from initiator.latencies import Latencies
from tests.initiator.figures import NO_MESSAGES, NO_QUERIES, NO_SESSIONS

QUERIES = replace(NO_QUERIES, asked_rate=500.0, seconds=2.0, answered=900, due=1_000, sent=950, timeouts=7, unsent=50)
MESSAGES = replace(
    NO_MESSAGES,
    asked_rate=40.0,
    seconds=5.0,
    due=200,
    sent=150,
    missed={"late": 30, "session full": 20},
    answered=130,
    lost=5,
    unanswered=6,
    wrong={"altered": 1, "foreign": 2},
)


def verdict(line: str, **changes: object) -> str | None:
    """Return what is said of an expectation, None when it is met, of 20 sessions with some changes."""
    now = replace(NO_SESSIONS, asked=20, **changes)  # type: ignore[arg-type]
    expectation = parse_expectation(line.split())
    return expectation.check(figures_of(now, Latencies(), expectation))


@pytest.mark.parametrize(
    ("share", "met"), [("0.89", True), ("0.9", False), ("0.91", False), ("89%", True), ("90%", False)]
)
def test_a_rate_is_compared_with_the_rate_asked_for(share: str, met: bool) -> None:
    """450 answers a second of 500 asked for, over 20 sessions."""
    line = f"rate > {share} asked"
    assert verdict(line, query=QUERIES) == (None if met else f"expect {line}: not met, it is 450, asked is 500")


@pytest.mark.parametrize(
    ("share", "met"), [("0.74", True), ("0.75", False), ("0.76", False), ("75%", False), ("74%", True)]
)
def test_a_rate_of_messages_is_that_of_what_is_sent(share: str, met: bool) -> None:
    """30 messages a second of 40 asked for, over 20 sessions."""
    line = f"rate > {share} asked"
    assert verdict(line, send=MESSAGES) == (None if met else f"expect {line}: not met, it is 30, asked is 40")


def test_anything_else_is_compared_with_the_sessions_asked_for() -> None:
    assert verdict("held < asked", held=19, query=QUERIES) is None
    assert verdict("held < asked", held=20, query=QUERIES) == "expect held < asked: not met, it is 20, asked is 20"


@pytest.mark.parametrize("name", ["query", "send"])
def test_a_run_that_has_sent_nothing_yet_has_no_rate(name: str) -> None:
    run = replace(QUERIES if name == "query" else MESSAGES, seconds=0.0)
    assert verdict("rate >= 0 asked", **{name: run}) == "expect rate >= 0 asked: not met, rate was not measured"


@pytest.mark.parametrize(
    ("name", "of_queries", "of_messages"),
    [
        ("asked_rate", 500, 40),
        ("due", 1_000, 200),
        ("sent", 950, 150),
        ("answered", 900, 130),
        ("timeouts", 7, None),
        ("unsent", 50, 50),
        ("unanswered", None, 11),
        ("wrong", None, 3),
    ],
)
def test_figures_are_those_of_what_is_sent(name: str, of_queries: float | None, of_messages: float | None) -> None:
    expectation = parse_expectation(["held", ">", "0"])
    awaiting = replace(MESSAGES, awaiting=True)
    for run, wanted in (
        (replace(NO_SESSIONS, query=QUERIES), of_queries),
        (replace(NO_SESSIONS, send=awaiting), of_messages),
        (NO_SESSIONS, None),
    ):
        assert figures_of(run, Latencies(), expectation)[name] == wanted
