"""What a run is expected to show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from initiator.expectations import parse_expectation

FIGURES = {
    "p99": 0.0073,
    "raw.query.p99.9": 0.02,
    "connect.p50": 0.000_043,
    "rate": 990.0,
    "asked_rate": 1000.0,
    "losses": 0.0,
    "timeouts": 7.0,
    "asked": 100.0,
    "held": 5.0,
    "answered": 12_345_678.0,
    "late.p50": None,
    "due": None,
}

OPERATORS = {
    "<": (True, False, False),
    "<=": (True, True, False),
    ">": (False, False, True),
    ">=": (False, True, True),
    "==": (False, True, False),
    "!=": (True, False, True),
}


@pytest.mark.parametrize(
    "line",
    [
        "p99 < 10ms",
        "p99 <= 7300us",
        "p99 > 7ms",
        "p99 < 1s500ms",
        "p99 < 1m",
        "p99 < 1",
        "p99 > 0",
        "raw.query.p99.9 <= 20ms",
        "connect.p50 < p99",
        "p99 > 2 connect.p50",
        "losses == 0",
        "losses <= 0%",
        "losses == 0.0",
        "losses < 1",
        "losses < 0.1%",
        "held != 4",
        "held >= 5",
        "rate > 0.98 asked_rate",
        "rate > 98% asked_rate",
        "rate == 99% asked_rate",
        "rate < asked_rate",
        "rate < 1k",
        "answered > 1.5M",
        "timeouts >= 7% asked",
        "timeouts == 7% asked",
        "p99<10ms",
        "p99 >=7ms",
        "losses== 0",
        "held!=4",
        "rate>0.98 asked_rate",
    ],
)
def test_what_is_met(line: str) -> None:
    assert parse_expectation(line.split()).check(FIGURES) is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("p99 < 5ms", "it is 7.3 ms"),
        ("p99 > 1m", "it is 7.3 ms"),
        ("connect.p50 > 1ms", "it is 0.043 ms"),
        ("losses > 0", "it is 0"),
        ("answered > 20m", "it is 12345678"),
        ("rate > 0.995 asked_rate", "it is 990, asked_rate is 1000"),
        ("rate >= asked_rate", "it is 990, asked_rate is 1000"),
        ("p99 < 2 connect.p50", "it is 7.3 ms, connect.p50 is 0.043 ms"),
        ("late.p50 < 1s", "late.p50 was not measured"),
        ("late.p50 >= 0", "late.p50 was not measured"),
        ("held <= due", "due was not measured"),
        ("due == due", "due was not measured"),
    ],
)
def test_what_is_not_met_says_what_is(line: str, text: str) -> None:
    assert parse_expectation(line.split()).check(FIGURES) == f"expect {line}: not met, {text}"


@pytest.mark.parametrize(("sign", "expected"), OPERATORS.items())
def test_every_comparison_is_the_one_it_says(sign: str, expected: tuple[bool, bool, bool]) -> None:
    """Against what is below, the same, and above."""
    found = [parse_expectation(["held", sign, "5"]).check({"held": held}) is None for held in (4, 5, 6)]
    assert found == list(expected)


@given(st.integers(1, 100_000_000), st.sampled_from(["us", "ms"]))
def test_a_time_is_the_latency_that_it_says(microseconds: int, unit: str) -> None:
    """No digit of a time is lost that a histogram may have: 5us is 5 µs, not a trifle less."""
    text = f"{microseconds}us" if unit == "us" else f"{microseconds // 1000}.{microseconds % 1000:03}ms"
    assert parse_expectation(["p50", "==", text]).check({"p50": microseconds / 1_000_000}) is None


@given(st.integers(0, 1_000_000), st.integers(0, 100))
def test_a_percentage_of_a_count_is_exact(hundreds: int, percent: int) -> None:
    figures = {"timeouts": float(hundreds * percent), "asked": float(hundreds * 100)}
    assert parse_expectation(["timeouts", "==", f"{percent}%", "asked"]).check(figures) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "p99",
        "p99 <",
        "p99 ~ 5",
        "p99 < 5 ms x",
        "p99 = 5ms",
        "5 < held",
        "held < -1",
        "held < 5ms",
        "held < 5x",
        "losses < 1e3",
        "rate > asked_rate 2",
        "rate > 5ms asked_rate",
        "rate > 2 3",
    ],
)
def test_what_is_no_condition_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="the form is: expect p99 < 5ms"):
        parse_expectation(line.split())


@pytest.mark.parametrize("value", ["5k", "5%", "-5ms", "5mss"])
def test_a_latency_is_compared_with_a_time(value: str) -> None:
    with pytest.raises(UsageError, match=f'"{value}" is not a time; write one like 500ms'):
        parse_expectation(["query.p99", "<", value])


@pytest.mark.parametrize("line", ["speed > 1", "rate > speed", "rate > 2 speed", "speed > rate"])
def test_an_unknown_figure_is_named_beside_those_there_are(line: str) -> None:
    with pytest.raises(UsageError, match=r'no figure "speed"; there are p99 .* due, and percentiles like p99'):
        parse_expectation(line.split()).check(FIGURES)
