"""What a run is expected to show: the conditions of `expect`, pure."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from common.errors import UsageError
from common.units import format_milliseconds, parse_duration, parse_real

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}

_FORM: Final = "the form is: expect p99 < 5ms, expect losses == 0, expect rate > 0.99 asked_rate"


@dataclass(frozen=True, slots=True)
class Expectation:
    """A figure by name, how it is compared, and with what: a number, times another figure where one is named."""

    text: str
    name: str
    compare: Callable[[float, float], bool]
    factor: float
    other: str | None

    def check(self, figures: Mapping[str, float | None]) -> str | None:
        """Return None when it is met, or else one line that says what is; raises UsageError for an unknown name.

        A figure that is None was not measured, and nothing that is expected of it is met.
        """
        actual, other = _figure(figures, self.name), _figure(figures, self.other) if self.other else 1.0
        if actual is None or other is None:
            return f"expect {self.text}: not met, nothing was measured"
        if self.compare(actual, self.factor * other):
            return None
        return f"expect {self.text}: not met, it is {_shown(self.name, actual)}"


def parse_expectation(words: Sequence[str]) -> Expectation:
    """Return what a condition like `p99 < 5ms` or `rate > 0.99 asked_rate` stands for; raises UsageError."""
    text = " ".join(words)
    if not 3 <= len(words) <= 4 or words[1] not in _OPERATORS:
        raise UsageError(f'"{text}" is not a condition; {_FORM}')
    name, sign, value, *rest = words
    factor = _value(value)
    if factor is None:
        if rest:
            raise UsageError(f'"{value}" is not a number; {_FORM}')
        return Expectation(text, name, _OPERATORS[sign], 1.0, value)
    return Expectation(text, name, _OPERATORS[sign], factor, rest[0] if rest else None)


def _value(text: str) -> float | None:
    """Return a number, a share in percent or a time in seconds; None for what is none of these."""
    for parse in (lambda text: 0.0 if text == "0" else parse_real(text), _percent, parse_duration):
        try:
            return parse(text)
        except UsageError:
            continue
    return None


def _percent(text: str) -> float:
    if not text.endswith("%"):
        raise UsageError("no percentage")
    return parse_real(text[:-1]) / 100


def _figure(figures: Mapping[str, float | None], name: str) -> float | None:
    if name not in figures:
        raise UsageError(f'there is no figure "{name}"; there are {" ".join(figures)}')
    return figures[name]


def _shown(name: str, value: float) -> str:
    return format_milliseconds(value) if name.rpartition(".")[2].startswith("p") else f"{value:g}"
