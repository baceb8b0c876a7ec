"""A picture of a bench: the time of each session's echoes by the session's number."""

from pathlib import Path
from typing import Final

from initiator.probes.figures import BenchSample
from initiator.reports.pictures import dress, new_picture, write_picture
from initiator.reports.style import LIGHT

_INCHES: Final = (10, 6)


def write_plot(path: Path, samples: list[BenchSample]) -> None:
    """Draw the time from sending to the echo: a point for each session and round, and each session's mean.

    The sessions are numbered in the order in which they were opened. For a thread; raises OSError.
    """
    answered = [(sample.session, sample.raw * 1e6) for sample in samples if sample.raw is not None]
    sums: dict[int, tuple[float, int]] = {}
    for session, time in answered:
        total, count = sums.get(session, (0.0, 0))
        sums[session] = total + time, count + 1
    means = [(session, total / count) for session, (total, count) in sorted(sums.items())]
    figure = new_picture(*_INCHES)
    axes = figure.add_subplot()
    axes.plot(*_columns(answered), ".", markersize=1, color=LIGHT["axis"], label="each round")
    axes.plot(*_columns(means), ".", markersize=3, color=LIGHT["s1"], label="mean over the rounds")
    dress(
        axes,
        f"{len(answered)} echoes verified, {len(samples) - len(answered)} failed",
        "session, in the order of opening",
        "time from sending to the whole echo (us)",
    )
    write_picture(path, figure)


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
