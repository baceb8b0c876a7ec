"""What a run is expected to show."""

import pytest

from common.errors import UsageError
from initiator.expectations import parse_expectation

FIGURES = {"p99": 0.0073, "rate": 990.0, "asked_rate": 1000.0, "losses": 0.0, "held": 5.0, "late.p50": None}


@pytest.mark.parametrize(
    "line",
    [
        "p99 < 10ms",
        "p99 <= 7300us",
        "p99 > 7ms",
        "losses == 0",
        "losses < 1",
        "held != 4",
        "held >= 5",
        "rate > 0.98 asked_rate",
        "rate > 98% asked_rate",
        "rate < asked_rate",
        "rate < 1k",
    ],
)
def test_what_is_met(line: str) -> None:
    assert parse_expectation(line.split()).check(FIGURES) is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("p99 < 5ms", "expect p99 < 5ms: not met, it is 7.3 ms"),
        ("losses > 0", "expect losses > 0: not met, it is 0"),
        ("rate > 0.995 asked_rate", "expect rate > 0.995 asked_rate: not met, it is 990"),
        ("rate >= asked_rate", "expect rate >= asked_rate: not met, it is 990"),
        ("late.p50 < 1s", "expect late.p50 < 1s: not met, nothing was measured"),
    ],
)
def test_what_is_not_met_says_what_is(line: str, text: str) -> None:
    assert parse_expectation(line.split()).check(FIGURES) == text


@pytest.mark.parametrize("line", ["", "p99", "p99 <", "p99 ~ 5", "p99 < 5 ms x", "p99 = 5ms", "rate > asked_rate 2"])
def test_what_is_no_condition_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="the form is"):
        parse_expectation(line.split())


@pytest.mark.parametrize("line", ["speed > 1", "rate > speed", "rate > 2 speed"])
def test_an_unknown_figure_is_named_beside_those_there_are(line: str) -> None:
    with pytest.raises(UsageError, match='no figure "speed"; there are p99 rate'):
        parse_expectation(line.split()).check(FIGURES)
