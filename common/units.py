"""Numbers, rates and times as people write and read them."""

import re
from fractions import Fraction
from typing import Final

from common.errors import UsageError

_MULTIPLIERS: Final = {"": 1, "k": 1_000, "m": 1_000_000}

_SECONDS: Final = {
    name: seconds
    for names, seconds in (
        ("us microsecond microseconds", 0.000001),
        ("ms millisecond milliseconds", 0.001),
        ("s sec second seconds", 1.0),
        ("m min minute minutes", 60.0),
        ("h hr hour hours", 3600.0),
        ("d day days", 86400.0),
    )
    for name in names.split()
}

# 128 MB: enough for 64 million sessions at four to a bucket.
_MOST_BUCKETS: Final = 1 << 24

# Seconds over which a rate is told at the least.
_SHORTEST: Final = 0.1

# More digits than these are a slip of the hand, and thousands of them are more than int() takes.
_DIGITS: Final = r"\d{1,20}(?:\.\d{1,20})?"

_NUMBER: Final = re.compile(rf"({_DIGITS})([km]?)", re.IGNORECASE | re.ASCII)
_TIME_PART: Final = re.compile(rf"({_DIGITS})([a-z]+)", re.IGNORECASE | re.ASCII)
_BANDWIDTH: Final = re.compile(rf"({_DIGITS})(?:([kKmMgG]?)([bB]ps))?", re.ASCII)
_MULTIPLES: Final = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}
_BARE: Final = re.compile(_DIGITS, re.ASCII)


def parse_count(text: str) -> int:
    """Return a whole number written like `100`, `100k` or `1.5m`.

    Raises UsageError for anything else, negative numbers and fractions included.
    """
    match = _NUMBER.fullmatch(text)
    if match:
        value = Fraction(match[1]) * _MULTIPLIERS[match[2].lower()]
        if value == int(value):
            return int(value)
    raise UsageError(f'"{text}" is not a whole number; write one like 500, 100k or 1.5m')


def parse_positive(text: str) -> int:
    """Return a whole number of at least 1, written as for `parse_count`; raises UsageError."""
    value = parse_count(text)
    if value < 1:
        raise UsageError(f'"{text}" is too small; at least 1 is needed')
    return value


def parse_hashsize(text: str) -> int:
    """Return how many buckets a table is to have, written as for `parse_count`; raises UsageError."""
    value = parse_positive(text)
    if value > _MOST_BUCKETS:
        raise UsageError(f'"{text}" is too large; a table has at most {_MOST_BUCKETS} buckets')
    return value


def parse_duration(text: str) -> float:
    """Return seconds from a time written like `500ms`, `10s`, `1m30s`, `2h`, `1d`; a bare number is seconds.

    Raises UsageError for anything else.
    """
    if _BARE.fullmatch(text):
        return float(text)
    total, end = 0.0, 0
    for part in _TIME_PART.finditer(text):
        unit = _SECONDS.get(part[2].lower())
        if part.start() != end or unit is None:
            break
        total += float(part[1]) * unit
        end = part.end()
    if not text or end != len(text):
        raise UsageError(f'"{text}" is not a time; write one like 500ms, 10s, 1m30s or 2h')
    return total


def parse_timeout(text: str) -> float:
    """Return seconds, more than none, written as for `parse_duration`; raises UsageError."""
    value = parse_duration(text)
    if value <= 0:
        raise UsageError(f'"{text}" is no time at all; write one like 500ms or 10s')
    return value


def parse_interval(text: str) -> tuple[float, float]:
    """Return the two ends, in seconds, of a range of times like `5-10s` or `500ms-2s`.

    The unit of the second time stands for the first one where that has none; one time alone is both ends.
    Raises UsageError for anything else and for ends in the wrong order.
    """
    first, dash, last = text.partition("-")
    if dash and _BARE.fullmatch(first) and (unit := _TIME_PART.fullmatch(last)):
        first += unit[2]
    low = parse_timeout(first)
    high = parse_timeout(last) if dash else low
    if high < low:
        raise UsageError(f'"{text}" ends before it begins; write the shorter time first, like 5-10s')
    return low, high


def parse_real(text: str) -> float:
    """Return a number above 0 written like `0.5`, `200` or `1.5k`; raises UsageError."""
    match = _NUMBER.fullmatch(text)
    value = float(Fraction(match[1]) * _MULTIPLIERS[match[2].lower()]) if match else 0.0
    if value <= 0:
        raise UsageError(f'"{text}" is not a number above 0; write one like 0.5, 200 or 1.5k')
    return value


def parse_latency(text: str) -> float:
    """Return the seconds, more than none, of a latency to be kept, written like `@5ms`; raises UsageError."""
    try:
        value = parse_duration(text[1:]) if text.startswith("@") else 0.0
    except UsageError:
        value = 0.0
    if value <= 0:
        raise UsageError(f'"{text}" is not a latency above 0; write one like @5ms or @500us')
    return value


def parse_rate_or_latency(text: str) -> tuple[float | None, float | None]:
    """Return a rate, or the seconds of a latency that one is to be found for, like `@5ms`; raises UsageError."""
    return (None, parse_latency(text)) if text.startswith("@") else (parse_real(text), None)


def parse_bandwidth(text: str) -> float:
    """Return bytes a second from a bandwidth like `10Mbps` (bits), `500kBps` (bytes) or `0`; raises UsageError.

    The multiples are of 1,000; a bare number is bytes a second.
    """
    match = _BANDWIDTH.fullmatch(text)
    if not match:
        raise UsageError(f'"{text}" is not a bandwidth; write one like 10Mbps (bits) or 500kBps (bytes)')
    value = float(match[1]) * _MULTIPLES[(match[2] or "").lower()]
    return value / 8 if match[3] == "bps" else value


def parse_percentiles(text: str) -> tuple[float, ...]:
    """Return the percentiles of a list like `50,95,99.9`, ascending, each once; raises UsageError."""
    values = [float(part) if _BARE.fullmatch(part) else 0.0 for part in re.split("[,/]", text)]
    if not all(0 < value <= 100 for value in values):
        raise UsageError(f'"{text}" is not a list of percentiles; write one like 50,95,99.9')
    return tuple(sorted(set(values)))


def format_count(count: int, what: str) -> str:
    """Return how many there are of something: `1 session`, `2 sessions`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def per_second(count: float, seconds: float) -> float | None:
    """Return how many that are a second, or None over so short a time that it would say nothing."""
    return count / seconds if seconds >= _SHORTEST else None


def format_rated(count: int, what: str, seconds: float) -> str:
    """Return how many there were of something, if it is said, and how many a second: `20 messages (40.0 a second)`."""
    rate = per_second(count, seconds)
    return f"{format_count(count, what) if what else count}{'' if rate is None else f' ({rate:.1f} a second)'}"


def format_duration(seconds: float) -> str:
    """Return a time for people: `0.4s`, `12s`, `3m05s`, `2h07m`, `4d03h`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def format_exactly(seconds: float) -> str:
    """Return a time as it can be typed again, with nothing left out: `5.0s`, `1m30s`, `250ms`, `12.5s`."""
    shown = format_duration(seconds)
    if parse_duration(shown) == seconds:
        return shown
    return f"{seconds * 1000:.10g}ms" if seconds < 1 else f"{seconds:.10g}s"


def format_milliseconds(seconds: float | None) -> str:
    """Return a latency in milliseconds for people: `0.043 ms`, `12.7 ms`, `1520 ms`; `-` where none was measured."""
    if seconds is None:
        return "-"
    value = seconds * 1000
    digits = 3 if value < 1 else 1 if value < 100 else 0
    return f"{value:.{digits}f} ms"


def format_bandwidth(bytes_per_second: float | None) -> str:
    """Return a bandwidth in bits for people: `0 bps`, `12.5 kbps`, `1.20 Mbps`; `-` where it is not known."""
    if bytes_per_second is None:
        return "-"
    bits = bytes_per_second * 8
    for unit, size, digits in (("Gbps", 1e9, 2), ("Mbps", 1e6, 2), ("kbps", 1e3, 1)):
        if bits >= size:
            return f"{bits / size:.{digits}f} {unit}"
    return f"{bits:.0f} bps"
