"""The percentile table of a histogram in the text format that HDR plotting tools read, pure."""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from common.histogram import Histogram

# Rows for each halving of the distance to 100 %: the default of the tools that read it.
_TICKS: Final = 5

# How many counts a histogram has, in the words of HdrHistogram: doublings of the value, and counts up to the first.
_BUCKETS: Final = 17
_SUB_BUCKETS: Final = 2048


class Row(NamedTuple):
    """One line of the table: so many values, which are this share (0-1) of all or more, are not above this one.

    `inverse` is 1 / (1 - percentile), and infinite in the last row.
    """

    value_ms: float
    percentile: float
    total_count: int
    inverse: float


def percentile_rows(histogram: Histogram) -> list[Row]:
    """Return the rows of the table, ascending: at most some twenty for each digit of the count; none when it is empty.

    The percentiles are those of HdrHistogram's outputPercentileDistribution: five evenly from 0 to 50 %, five from
    there to 75 %, and so on halfway to 100 %, until one stands for the greatest value; then 100 % itself.
    """
    rows: list[Row] = []
    levels, seen = _levels(), 0
    level = next(levels)
    for seconds, counted in histogram.values():
        seen += counted
        while level <= 100 * seen / histogram.count:
            rows.append(Row(seconds * 1000, level / 100, seen, 100 / (100 - level)))
            level = next(levels)
            if seen == histogram.count:
                return [*rows, Row(seconds * 1000, 1.0, seen, math.inf)]
    return rows


def percentile_table(histogram: Histogram) -> str:
    """Return the rows in columns, values in milliseconds, and a summary: what a file `.hgrm` holds.

    The format is that of HdrHistogram's outputPercentileDistribution; its last row has no inverse.
    """
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    for row in percentile_rows(histogram):
        inverse = f" {row.inverse:>14.2f}" if math.isfinite(row.inverse) else ""
        lines.append(f"{row.value_ms:>12.3f} {row.percentile:>14.12f} {row.total_count:>10}{inverse}")
    mean, deviation = histogram.mean * 1000, _deviation(histogram) * 1000
    lines.append(f"#[Mean    = {mean:>12.3f}, StdDeviation   = {deviation:>12.3f}]")
    lines.append(f"#[Max     = {histogram.highest * 1000:>12.3f}, Total count    = {histogram.count:>12}]")
    lines.append(f"#[Buckets = {_BUCKETS:>12}, SubBuckets     = {_SUB_BUCKETS:>12}]")
    return "".join(f"{line}\n" for line in lines)


def _levels() -> Iterator[float]:
    """Yield percentages that grow denser towards 100; they are exact, so that a share can be compared with them."""
    gap = 100.0
    while True:
        yield from (100 - gap + gap * tick / (2 * _TICKS) for tick in range(_TICKS))
        gap /= 2


def _deviation(histogram: Histogram) -> float:
    """Return the standard deviation in seconds, around the mean of the same rounded values."""
    if not histogram.count:
        return 0.0
    values = histogram.values()
    mean = sum(value * counted for value, counted in values) / histogram.count
    return math.sqrt(sum(counted * (value - mean) ** 2 for value, counted in values) / histogram.count)
