"""Scales and ticks: where values lie on an axis, and which of them are written there; pure."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Final

from initiator.reports.charts import Axis, Scale

# Steps between ticks of a time, in seconds: those that clocks and calendars have.
_TIME_STEPS: Final = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
    *(86400 * days for days in (1, 2, 7, 14, 28)),
)

# What is on the axis of percentiles at the least, so that 90 % is.
_LEAST_PERCENTILE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Ruler:
    """An axis with its ends: `place` is where a value lies, 0-1 for all between them; `ticks` are (value, text)."""

    low: float
    high: float
    place: Callable[[float], float]
    ticks: list[tuple[float, str]]


def ruler(axis: Axis, values: Iterable[float | None], most: int) -> Ruler:
    """Return the ruler of an axis that has room for all these values, with about `most` ticks and rarely more."""
    known = [value for value in values if value is not None]
    least, greatest = min(known, default=0.0), max(known, default=0.0)
    if axis.scale is Scale.PERCENTILE:
        return _percentile_ruler(greatest)
    if axis.scale is Scale.LOG:
        return _log_ruler(axis, least, greatest, most)
    if axis.scale is Scale.TIME:
        return _time_ruler(axis, greatest, most)
    return _linear_ruler(axis, greatest, most)


def nice_step(span: float, most: int) -> float:
    """Return the least step of 1, 2 or 5 times a power of ten of which at most `most` make up the span."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough * (1 - 1e-9))


def _linear_ruler(axis: Axis, greatest: float, most: int) -> Ruler:
    """From 0 to the first step above the greatest value, so that no line lies on the upper edge."""
    step = max(nice_step(greatest, most), 1.0 if axis.whole else 0.0) if greatest else 1.0
    steps = math.floor(greatest / step + 1e-9) + 1
    high = steps * step
    ticks = [(tick * step, axis.tick(round(tick * step, 9))) for tick in range(steps + 1)]
    return Ruler(0.0, high, lambda value: value / high, ticks)


def _time_ruler(axis: Axis, greatest: float, most: int) -> Ruler:
    """From 0 to the greatest value itself."""
    high = greatest or 1.0
    step = next((step for step in _TIME_STEPS if high / step <= most), _TIME_STEPS[-1] * math.ceil(high / 28 / 86400))
    ticks = [(tick * step, axis.tick(tick * step)) for tick in range(math.floor(high / step + 1e-9) + 1)]
    return Ruler(0.0, high, lambda value: value / high, ticks)


def _log_ruler(axis: Axis, least: float, greatest: float, most: int) -> Ruler:
    """From a power of ten, or 2 or 5 times one, to another."""
    low, high = _round_log(least, down=True), _round_log(greatest, down=False)
    if low == high:
        high = 10 * low
    span = math.log10(high / low)
    leading = next((each for each in ((1, 2, 5), (1, 3), (1,)) if span * len(each) <= most), (1,))
    every = max(1, math.ceil(span / most))
    first = math.floor(math.log10(low))
    values = [
        lead * 10.0**power
        for power in range(first, math.ceil(math.log10(high)) + 1)
        for lead in leading
        if (power - first) % every == 0
    ]
    ticks = [(value, axis.tick(value)) for value in values if low * 0.999 <= value <= high * 1.001]
    return Ruler(low, high, lambda value: math.log10(value / low) / span, ticks)


def _round_log(value: float, *, down: bool) -> float:
    """Return the nearest of 1, 2 and 5 times a power of ten that is not above, or not below, a value."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    steps = [power * lead for lead in (1, 2, 5, 10)]
    if down:
        return max(step for step in steps if step <= value * (1 + 1e-9))
    return min(step for step in steps if step >= value * (1 - 1e-9))


def _percentile_ruler(greatest: float) -> Ruler:
    """From 0 % to the greatest percentile; ticks at 50 % and wherever a nine is added."""
    high = max(greatest, _LEAST_PERCENTILE)
    span = -math.log10(1 - high)

    def place(share: float) -> float:
        return -math.log10(1 - share) / span

    ticks = [(0.0, "0 %"), (0.5, "50 %")]
    for nines in count(1):
        share = 1 - 10.0**-nines
        if share > high:
            break
        digits = max(0, nines - 2)
        ticks.append((share, f"{100 * share:.{digits}f} %"))
    return Ruler(0.0, high, place, ticks)
