"""What a run is expected to show: the conditions of `expect`, pure."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from common.errors import UsageError
from common.units import format_milliseconds, parse_duration

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

_FORM: Final = "the form is: expect p99 < 5ms, expect losses == 0, expect rate > 0.99 asked"

_SIGN: Final = re.compile(r"([<>]=?|[=!]=)")
_NAME: Final = re.compile(r"[a-z][a-z0-9_.]*", re.ASCII)
_LATENCY: Final = re.compile(r"(?:.*\.)?p[0-9.]+", re.ASCII)

# As many digits as a number has elsewhere; here it may be 0, and must be exact: 7 of 100 are 7 %.
_NUMBER: Final = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)([km%]?)", re.IGNORECASE | re.ASCII)
_MULTIPLIERS: Final = {"": Fraction(1), "k": Fraction(1_000), "m": Fraction(1_000_000), "%": Fraction(1, 100)}

_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Expectation:
    """A figure by name, how it is compared, and with what: a number, times another figure where one is named."""

    text: str
    name: str
    compare: Callable[[float, float], bool]
    factor: Fraction
    other: str | None

    def check(self, figures: Mapping[str, float | None]) -> str | None:
        """Return None when it is met, or else one line that says what is; raises UsageError for an unknown name.

        Latencies are in seconds. A figure that is None was not measured, and nothing that is expected of it is met.
        """
        actual, other = _figure(figures, self.name), _figure(figures, self.other) if self.other else 1.0
        if actual is None or other is None:
            return f"expect {self.text}: not met, {self.name if actual is None else self.other} was not measured"
        if self.compare(actual, float(self.factor * Fraction(other))):
            return None
        beside = f", {self.other} is {_shown(self.other, other)}" if self.other else ""
        return f"expect {self.text}: not met, it is {_shown(self.name, actual)}{beside}"


def parse_expectation(words: Sequence[str]) -> Expectation:
    """Return what a condition like `p99 < 5ms` or `rate > 0.99 asked` stands for; raises UsageError.

    Behind the comparison is a name, a number and a name, or for a latency a time and else a number; a number may end
    with k, m (million) or %. The comparison needs no blanks around it.
    """
    text = " ".join(words)
    words = _SIGN.sub(r" \1 ", text).split()
    if not 3 <= len(words) <= 4 or words[1] not in _OPERATORS or not all(map(_NAME.fullmatch, (words[0], *words[3:]))):
        raise UsageError(f'"{text}" is not a condition; {_FORM}')
    name, sign, value, *rest = words
    factor, other = Fraction(1), rest[0] if rest else None
    if other is None and _NAME.fullmatch(value):
        other = value
    elif other is None and _LATENCY.fullmatch(name):
        factor = Fraction(round(parse_duration(value) * _NANOSECONDS), _NANOSECONDS)
    else:
        factor = _number(value)
    return Expectation(text, name, _OPERATORS[sign], factor, other)


def _number(text: str) -> Fraction:
    match = _NUMBER.fullmatch(text)
    if not match:
        raise UsageError(f'"{text}" is not a number; {_FORM}')
    return Fraction(match[1]) * _MULTIPLIERS[match[2].lower()]


def _figure(figures: Mapping[str, float | None], name: str) -> float | None:
    if name not in figures:
        known = " ".join(figures)
        raise UsageError(f'there is no figure "{name}"; there are {known}, and percentiles like p99 or connect.p50')
    return figures[name]


def _shown(name: str, value: float) -> str:
    """Return a figure for people; a count keeps all of its digits."""
    return format_milliseconds(value) if _LATENCY.fullmatch(name) else f"{value:.10g}"
