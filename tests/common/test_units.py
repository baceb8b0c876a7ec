"""Tests of numbers and times as they are typed and shown."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UsageError
from common.units import (
    format_count,
    format_duration,
    format_exactly,
    format_milliseconds,
    parse_bandwidth,
    parse_count,
    parse_duration,
    parse_interval,
    parse_latency,
    parse_percentiles,
    parse_positive,
    parse_real,
    parse_timeout,
)

# More digits than any float has room for.
ENDLESS = "9" * 400


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("500", 500),
        ("007", 7),
        ("2.0", 2),
        ("100k", 100_000),
        ("1.5k", 1_500),
        ("1K", 1_000),
        ("1.5m", 1_500_000),
        ("2M", 2_000_000),
        ("0.001k", 1),
        ("1.000001m", 1_000_001),
        ("4.35m", 4_350_000),
    ],
)
def test_a_count_is_read_with_its_multiplier(text: str, value: int) -> None:
    """A whole number may be written in thousands or millions, with a fraction that comes out whole."""
    assert parse_count(text) == value


@given(st.integers(0, 2**64))
def test_a_plain_whole_number_is_read_exactly(value: int) -> None:
    """A number typed in full stands for itself, as long as a seed of 64 bits."""
    assert parse_count(str(value)) == value


@given(st.integers(0, 10**9), st.sampled_from([("k", 10**3), ("m", 10**6)]))
def test_every_fraction_that_comes_out_whole_is_taken(value: int, unit: tuple[str, int]) -> None:
    """Any whole number survives being written in thousands or millions."""
    letter, size = unit
    digits = len(str(size)) - 1
    assert parse_count(f"{value // size}.{value % size:0{digits}}{letter}") == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "+1",
        "1.5",
        "0.0001k",
        "k",
        "1g",
        "1 000",
        " 1",
        "1,000",
        "1e3",
        "0x10",
        ".5k",
        "1.k",
        "nan",
        "inf",
    ],
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    """A refused count is named in the error, with a form that would do."""
    with pytest.raises(UsageError, match=r"is not a whole number; write one like 500, 100k or 1\.5m") as refusal:
        parse_count(text)
    assert f'"{text}"' in str(refusal.value)


@pytest.mark.parametrize("text", ["1.0000001", "0.0000001", "2.0000004k", "10000000000.00000000000000000001"])
def test_a_fraction_however_small_is_refused(text: str) -> None:
    """A fraction is never rounded away to a number that was not typed."""
    with pytest.raises(UsageError, match="is not a whole number"):
        parse_count(text)


def test_a_count_past_every_number_is_refused() -> None:
    """A count of hundreds of digits is refused like any other text that is no number."""
    with pytest.raises(UsageError, match="is not a whole number"):
        parse_count(ENDLESS)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("0.001k", 1), ("10k", 10_000)])
def test_a_positive_number_starts_at_one(text: str, value: int) -> None:
    """A number of at least one is read like any count."""
    assert parse_positive(text) == value


@pytest.mark.parametrize(
    ("text", "why"), [("0", "is too small; at least 1 is needed"), ("-1", "is not a whole number")]
)
def test_a_number_below_one_is_refused(text: str, why: str) -> None:
    """Where at least one is needed, none and less than none are refused."""
    with pytest.raises(UsageError, match=f'"{text}" {why}'):
        parse_positive(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("10", 10.0),
        ("2.5", 2.5),
        ("500us", 0.000_5),
        ("1microsecond", 0.000_001),
        ("20microseconds", 0.000_02),
        ("1ms500us", 0.001_5),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("10s", 10.0),
        ("3sec", 3.0),
        ("1second", 1.0),
        ("2seconds", 2.0),
        ("1m", 60.0),
        ("2min", 120.0),
        ("2minutes", 120.0),
        ("2h", 7_200.0),
        ("1hr", 3_600.0),
        ("1hour", 3_600.0),
        ("3hours", 10_800.0),
        ("1d", 86_400.0),
        ("2days", 172_800.0),
        ("1m30s", 90.0),
        ("1h1m1s", 3_661.0),
        ("1d12h", 129_600.0),
        ("1S500MS", 1.5),
    ],
)
def test_a_time_is_read_with_its_units(text: str, seconds: float) -> None:
    """A time is the sum of its parts, and a bare number is seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.sampled_from(
                [("us", 0.000_001), ("ms", 0.001), ("s", 1), ("min", 60), ("h", 3_600), ("d", 86_400)],
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_parts_of_a_time_add_up(parts: list[tuple[int, tuple[str, float]]]) -> None:
    """Parts of a time may come in any number and order."""
    text = "".join(f"{count}{unit}" for count, (unit, _seconds) in parts)
    assert parse_duration(text) == pytest.approx(sum(count * seconds for count, (_unit, seconds) in parts))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "s",
        "-1",
        "-1s",
        "+1s",
        "10 s",
        " 10s",
        "10s ",
        "1m30",
        "30m1",
        "1x",
        "1s1x",
        "1m-30s",
        "1.s",
        ".5s",
        "1e3s",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """A refused time is named in the error, with a form that would do."""
    with pytest.raises(UsageError, match="is not a time; write one like 500ms, 10s, 1m30s or 2h") as refusal:
        parse_duration(text)
    assert f'"{text}"' in str(refusal.value)


@pytest.mark.parametrize("text", [ENDLESS, f"{ENDLESS}s", f"{ENDLESS}d"])
def test_a_time_past_every_number_is_refused(text: str) -> None:
    """A time that no clock can count to is refused, for nothing can be due then."""
    with pytest.raises(UsageError):
        parse_duration(text)


@given(st.text(max_size=12))
def test_a_text_is_a_finite_time_or_refused(text: str) -> None:
    """Whatever is typed for a time is seconds, or refused in one line."""
    try:
        seconds = parse_duration(text)
    except UsageError:
        return
    assert 0 <= seconds < math.inf


def test_a_timeout_is_more_than_no_time() -> None:
    """A time limit of nothing is refused, and the least of anything is taken."""
    assert parse_timeout("1ms") == pytest.approx(0.001)
    for text in ("0", "0s", "0ms", "0h0s"):
        with pytest.raises(UsageError, match=f'"{text}" is no time at all; write one like 500ms or 10s'):
            parse_timeout(text)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("5-10s", 5.0, 10.0),
        ("500ms-2s", 0.5, 2.0),
        ("1-2m", 60.0, 120.0),
        ("5-10", 5.0, 10.0),
        ("5s-5s", 5.0, 5.0),
        ("30s", 30.0, 30.0),
        ("100-200ms", 0.1, 0.2),
        ("100-200us", 0.000_1, 0.000_2),
        ("1m30s-2m", 90.0, 120.0),
        ("5s-10", 5.0, 10.0),
    ],
)
def test_a_range_of_times_has_two_ends(text: str, low: float, high: float) -> None:
    """A unit behind the second time serves the first one too, and one time alone is both ends."""
    assert parse_interval(text) == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("10-5s", '"10-5s" ends before it begins; write the shorter time first, like 5-10s'),
        ("2s-500ms", '"2s-500ms" ends before it begins'),
        ("0-5s", '"0s" is no time at all'),
        ("5s-", '"" is not a time'),
        ("-5s", '"" is not a time'),
        ("1-2-3s", '"2-3s" is not a time'),
        ("x-5s", '"x" is not a time'),
        ("", '"" is not a time'),
    ],
)
def test_what_is_no_range_of_times_is_refused(text: str, wrong: str) -> None:
    """The end of a range that is wrong is the one that is named."""
    with pytest.raises(UsageError) as refusal:
        parse_interval(text)
    assert str(refusal.value).startswith(wrong)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("0.001", 0.001),
        ("1", 1.0),
        ("200", 200.0),
        ("1.5k", 1_500.0),
        ("0.0005k", 0.5),
        ("2K", 2_000.0),
        ("1.5m", 1_500_000.0),
        ("2M", 2_000_000.0),
    ],
)
def test_a_number_above_none_may_have_a_fraction(text: str, value: float) -> None:
    """A number that need not be whole is read as a float, with the multipliers of a count."""
    number = parse_real(text)
    assert number == value
    assert type(number) is float


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0.0",
        "0k",
        "-1",
        "-0.5",
        "+1",
        "abc",
        "nan",
        "inf",
        "-inf",
        "1e3",
        "1_000",
        ".5",
        "5.",
        "1g",
        "k",
        ENDLESS,
    ],
)
def test_what_is_no_number_above_none_is_refused(text: str) -> None:
    """None, less than none and what is no number are refused with a form that would do."""
    with pytest.raises(UsageError) as refusal:
        parse_real(text)
    assert str(refusal.value) == f'"{text}" is not a number above 0; write one like 0.5, 200 or 1.5k'


@pytest.mark.parametrize(
    ("text", "bytes_a_second"),
    [
        ("0", 0.0),
        ("0Mbps", 0.0),
        ("1500", 1_500.0),
        ("0.5", 0.5),
        ("8bps", 1.0),
        ("1bps", 0.125),
        ("8kbps", 1_000.0),
        ("8Kbps", 1_000.0),
        ("10Mbps", 1_250_000.0),
        ("10mbps", 1_250_000.0),
        ("2.5Gbps", 312_500_000.0),
        ("1gbps", 125_000_000.0),
        ("7Bps", 7.0),
        ("500kBps", 500_000.0),
        ("10MBps", 10_000_000.0),
        ("10mBps", 10_000_000.0),
        ("1.5GBps", 1_500_000_000.0),
        ("1gBps", 1_000_000_000.0),
    ],
)
def test_a_bandwidth_is_bytes_a_second(text: str, bytes_a_second: float) -> None:
    """A small b is for bits, a large one for bytes, and a bare number is bytes; multiples are of 1,000."""
    bandwidth = parse_bandwidth(text)
    assert bandwidth == bytes_a_second
    assert type(bandwidth) is float


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "-1",
        "-1Mbps",
        "nan",
        "inf",
        "10k",
        "10M",
        "10Mb",
        "10MB",
        "10MBPS",
        "10Tbps",
        "10 Mbps",
        "10Mbps ",
        "Mbps",
        "1e6",
        "1e6bps",
        ".5Mbps",
        "10Mibps",
        ENDLESS,
    ],
)
def test_what_is_no_bandwidth_is_refused(text: str) -> None:
    """A bandwidth needs its whole unit or none, so that bits are not taken for bytes."""
    with pytest.raises(UsageError) as refusal:
        parse_bandwidth(text)
    form = "write one like 10Mbps (bits) or 500kBps (bytes)"
    assert str(refusal.value) == f'"{text}" is not a bandwidth; {form}'


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("@5ms", 0.005), ("@500us", 0.000_5), ("@1ms500us", 0.001_5), ("@0.2ms", 0.000_2), ("@2s", 2.0), ("@1", 1.0)],
)
def test_a_latency_to_be_kept_is_marked(text: str, seconds: float) -> None:
    """A latency is a time behind an @."""
    assert parse_latency(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "@", "5ms", "@0", "@0ms", "@-1", "@abc", "@nan", "@inf", "@@5ms", "@ 5ms", "@5ms ", "5ms@", "@5mb"]
)
def test_what_is_no_latency_is_refused(text: str) -> None:
    """The whole of what was typed is named, with a form that would do."""
    with pytest.raises(UsageError) as refusal:
        parse_latency(text)
    assert str(refusal.value) == f'"{text}" is not a latency above 0; write one like @5ms or @500us'


@pytest.mark.parametrize(
    ("text", "percentiles"),
    [
        ("50", (50.0,)),
        ("50,99,99.9", (50.0, 99.0, 99.9)),
        ("50/99/99.9", (50.0, 99.0, 99.9)),
        ("99.9,50/95", (50.0, 95.0, 99.9)),
        ("100,0.001", (0.001, 100.0)),
        ("50,50.0,99,50", (50.0, 99.0)),
    ],
)
def test_percentiles_are_sorted_and_each_there_once(text: str, percentiles: tuple[float, ...]) -> None:
    """A list of percentiles is parted by commas or slashes, in any order."""
    assert parse_percentiles(text) == percentiles


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "50,",
        ",50",
        "50,,99",
        "50, 99",
        "0",
        "50,0",
        "-1",
        "100.1",
        "101",
        "abc",
        "50,x",
        "nan",
        "inf",
        "p99",
        "5e1",
        "50;99",
        "50%",
        "1k",
        ENDLESS,
    ],
)
def test_what_is_no_list_of_percentiles_is_refused(text: str) -> None:
    """Each percentile is above 0 and no more than 100, and none is left empty."""
    with pytest.raises(UsageError) as refusal:
        parse_percentiles(text)
    assert str(refusal.value) == f'"{text}" is not a list of percentiles; write one like 50,95,99.9'


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=8), st.sampled_from(",/"))
def test_any_percentiles_that_are_typed_are_read(values: list[float], comma: str) -> None:
    """Whatever the order and the repeats, what comes is the ascending set."""
    texts = [f"{value:.6f}" for value in values]
    assert parse_percentiles(comma.join(texts)) == tuple(sorted({float(text) for text in texts}))


@given(st.sampled_from([parse_real, parse_bandwidth, parse_latency]), st.text(max_size=12), st.booleans())
def test_a_text_is_a_finite_number_or_refused(parse: Callable[[str], float], text: str, marked: bool) -> None:
    """Whatever is typed is a number that can be counted with, or refused."""
    try:
        value = parse(f"@{text}" if marked else text)
    except UsageError:
        return
    assert 0 <= value < math.inf


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0s"),
        (0.4, "0.4s"),
        (9.9, "9.9s"),
        (12.4, "12s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (185.0, "3m05s"),
        (3_599.4, "59m59s"),
        (3_599.6, "1h00m"),
        (7_620.0, "2h07m"),
        (86_399.4, "23h59m"),
        (86_399.6, "1d00h"),
        (356_400.0, "4d03h"),
    ],
)
def test_a_time_is_shown_in_its_two_greatest_units(seconds: float, text: str) -> None:
    """A time for people is as fine as matters at its size."""
    assert format_duration(seconds) == text


@given(st.floats(0, 10_000_000))
def test_a_time_that_is_shown_can_be_typed(seconds: float) -> None:
    """What is shown reads back as the same time, but for what its last unit leaves out."""
    left_out = 0.051 if seconds < 10 else 0.51 if seconds < 3_600 else 60.51 if seconds < 86_400 else 3_600.51
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=left_out)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5.0, "5.0s"),
        (0.25, "250ms"),
        (0.05, "50ms"),
        (0.0001, "0.1ms"),
        (12.5, "12.5s"),
        (90.0, "1m30s"),
        (5420.0, "5420s"),
    ],
)
def test_a_time_that_was_asked_for_is_shown_in_full(seconds: float, text: str) -> None:
    """A run can be repeated by what is shown of it."""
    assert format_exactly(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("count", "text"), [(0, "0 sessions"), (1, "1 session"), (2, "2 sessions")])
def test_one_is_not_many(count: int, text: str) -> None:
    """What is counted is told in words that agree with the number."""
    assert format_count(count, "session") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.000 ms"), (0.000043, "0.043 ms"), (0.0127, "12.7 ms"), (0.25, "250 ms"), (1.52, "1520 ms"), (None, "-")],
)
def test_a_latency_is_shown_in_milliseconds(seconds: float | None, text: str) -> None:
    """A latency keeps about three digits, from microseconds to seconds."""
    assert format_milliseconds(seconds) == text
