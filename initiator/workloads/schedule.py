"""Rates as functions of time: constant, in steps, or in slopes; pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from common.errors import UsageError
from common.units import format_count, format_duration, parse_duration

_FORM = "the form of a line is: 10s 500"


@dataclass(frozen=True, slots=True)
class Segment:
    """So many seconds in which the rate (1/s) begins at `rate` and changes by `slope` a second; it is never below 0."""

    seconds: float
    rate: float
    slope: float = 0.0

    def rate_at(self, t: float) -> float:
        """Return the rate `t` seconds after the begin."""
        return max(0.0, self.rate + self.slope * t)

    def expected(self, t: float) -> float:
        """Return how many are due within the first `t` seconds: the rate's integral."""
        if self.slope < 0:
            t = min(t, -self.rate / self.slope)
        return (self.rate + self.slope * t / 2) * t if t else 0.0

    def inverse(self, count: float) -> float:
        """Return after how many seconds so many are due; `count` is not above what the whole segment has."""
        if not self.slope:
            return count / self.rate if self.rate else 0.0
        # The root of slope/2 t^2 + rate t = count, in the form that does not cancel for small slopes.
        twice = self.rate + math.sqrt(max(0.0, self.rate * self.rate + 2 * self.slope * count))
        return 2 * count / twice if twice else 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Segments one after the other; behind the last one nothing is due."""

    segments: tuple[Segment, ...]
    seconds: float = field(init=False)
    _begins: tuple[float, ...] = field(init=False, repr=False)
    _counts: tuple[float, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        segments = self.segments
        begins = accumulate((segment.seconds for segment in segments), initial=0.0)
        counts = accumulate((_whole(segment) for segment in segments), initial=0.0)
        object.__setattr__(self, "_begins", tuple(begins))
        object.__setattr__(self, "_counts", tuple(counts))
        object.__setattr__(self, "seconds", self._begins[-1])

    @property
    def total(self) -> float:
        """How many are due in all."""
        return self._counts[-1]

    def rate_at(self, t: float) -> float:
        """Return the rate `t` seconds after the begin, 0 behind the end."""
        for begin, segment in zip(self._begins, self.segments, strict=False):
            if t < begin + segment.seconds:
                return segment.rate_at(t - begin)
        return 0.0

    def expected(self, t: float) -> float:
        """Return how many are due within the first `t` seconds."""
        for begin, count, segment in zip(self._begins, self._counts, self.segments, strict=False):
            if t < begin + segment.seconds:
                return count + segment.expected(t - begin)
        return self.total

    def inverse(self, count: float) -> float:
        """Return after how many seconds so many are due, infinite for more than there are in all."""
        for begin, before, behind, segment in zip(
            self._begins, self._counts, self._counts[1:], self.segments, strict=False
        ):
            if count <= behind:
                return begin + segment.inverse(max(0.0, count - before))
        return math.inf

    def constant_until(self, count: float) -> tuple[float, float, float]:
        """Return (time, count, rate) from where on the rate is constant until so many are due; the rate 0 if not.

        Within that segment the `n`-th is due at time + (n - count) / rate.
        """
        for begin, before, behind, segment in zip(
            self._begins, self._counts, self._counts[1:], self.segments, strict=False
        ):
            if count <= behind:
                return begin, before, 0.0 if segment.slope else segment.rate
        return 0.0, 0.0, 0.0

    def scaled(self, factor: float) -> "Schedule":
        """Return the part of it that is so many times as much."""
        return Schedule(tuple(Segment(part.seconds, part.rate * factor, part.slope * factor) for part in self.segments))

    def after(self, t: float) -> "Schedule":
        """Return what is left of it `t` seconds after the begin."""
        left = []
        for begin, segment in zip(self._begins, self.segments, strict=False):
            passed = max(0.0, t - begin)
            if passed < segment.seconds:
                left.append(Segment(segment.seconds - passed, segment.rate_at(passed), segment.slope))
        return Schedule(tuple(left))

    def __str__(self) -> str:
        """Return it in a few words."""
        if len(self.segments) == 1 and math.isinf(self.seconds):
            return f"{self.segments[0].rate:g} a second"
        return f"{format_count(len(self.segments), 'step')} over {format_duration(self.seconds)}, {self.total:g} in all"


def constant(rate: float) -> Schedule:
    """Return so many a second without end."""
    return Schedule((Segment(math.inf, rate),))


def parse_schedule(text: str) -> Schedule:
    """Return the schedule of a file with `<duration> <rate>` lines; raises UsageError with the line's number.

    Blank lines and # comments are passed over. A first line with one number alone is the count of the lines that
    follow, and a duration without a unit is in milliseconds: the files of other tools.
    """

    def segment(seconds: float, value: float) -> Segment:
        if value < 0:
            raise UsageError("a rate cannot be below 0")
        return Segment(seconds, value)

    return Schedule(tuple(_parse(text, segment)))


def parse_slopes(text: str, rate: float) -> Schedule:
    """Return the schedule of a file with `<duration> <change per second>` lines, which begins at `rate`.

    Raises UsageError as `parse_schedule` does.
    """

    def segment(seconds: float, value: float) -> Segment:
        nonlocal rate
        made = Segment(seconds, rate, value)
        rate = made.rate_at(seconds)
        return made

    return Schedule(tuple(_parse(text, segment)))


def _parse(text: str, make: Callable[[float, float], Segment]) -> list[Segment]:
    lines = [(number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, words) for number, words in lines if words]
    announced = None
    if lines and len(lines[0][1]) == 1 and lines[0][1][0].isdecimal():
        announced = int(lines.pop(0)[1][0])
    segments = []
    for number, words in lines:
        try:
            if len(words) != 2:
                raise UsageError(f"it has {len(words)} words, not 2")
            segments.append(make(_seconds(words[0]), _value(words[1])))
        except UsageError as error:
            raise UsageError(f"line {number}: {error}; {_FORM}") from None
    if announced not in (None, len(segments)):
        raise UsageError(f"its first line announces {announced} lines, and {len(segments)} follow")
    if not segments:
        raise UsageError(f"there is no line in it; {_FORM}")
    return segments


def _seconds(text: str) -> float:
    seconds = _value(text) / 1000 if text.replace(".", "", 1).isdecimal() else parse_duration(text)
    if seconds <= 0:
        raise UsageError(f'"{text}" lasts no time')
    return seconds


def _value(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f'"{text}" is not a number') from None
    if not math.isfinite(value):
        raise UsageError(f'"{text}" is not a number')
    return value


def _whole(segment: Segment) -> float:
    if math.isinf(segment.seconds):
        return math.inf if segment.rate else 0.0
    return segment.expected(segment.seconds)
