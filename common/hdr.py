"""The percentile table of a histogram in the text format that HDR plotting tools read, pure."""

import math
from collections.abc import Iterator
from typing import Final

from common.histogram import Histogram

# Rows for each halving of the distance to 100 %: the default of the tools that read it.
_TICKS: Final = 5


def percentile_table(histogram: Histogram) -> str:
    """Return rows of value (milliseconds), percentile (0-1), count so far, and 1/(1-percentile); then a summary.

    The format is that of HdrHistogram's outputPercentileDistribution.
    """
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    for value, level, count in _rows(histogram):
        inverse = f"{1 / (1 - level):>14.2f}" if level < 1 else f"{'inf':>14}"
        lines.append(f"{value * 1000:>12.3f} {level:>14.12f} {count:>10} {inverse}")
    deviation = _deviation(histogram) * 1000
    lines.append(f"#[Mean    = {histogram.mean * 1000:>12.3f}, StdDeviation   = {deviation:>12.3f}]")
    lines.append(f"#[Max     = {histogram.highest * 1000:>12.3f}, Total count    = {histogram.count:>12}]")
    lines.append(f"#[Buckets = {17:>12}, SubBuckets     = {2048:>12}]")
    return "".join(f"{line}\n" for line in lines)


def _rows(histogram: Histogram) -> Iterator[tuple[float, float, int]]:
    """Yield (seconds, level, count so far), at levels that grow denser towards 1."""
    seen, level = 0, 0.0
    values = histogram.values()
    for at, (value, counted) in enumerate(values):
        seen += counted
        share = seen / histogram.count
        if at == len(values) - 1:
            yield value, 1.0, seen
        while at < len(values) - 1 and level <= share:
            yield value, level, seen
            level += (1 - level) / _steps(level)
            if level >= 1:
                break


def _steps(level: float) -> int:
    """Return in how many steps the rest of the way to 1 would be gone from a level."""
    return int(_TICKS * 2 ** (math.floor(math.log2(1 / (1 - level))) + 1))


def _deviation(histogram: Histogram) -> float:
    if not histogram.count:
        return 0.0
    mean = histogram.mean
    return math.sqrt(sum(count * (value - mean) ** 2 for value, count in histogram.values()) / histogram.count)
