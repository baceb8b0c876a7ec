"""A picture of a bench: the time of each session's echoes by the session's number."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from common.errors import UsageError
from initiator.probes.figures import BenchSample

# What a plot's file may end with.
PLOTTED: Final = (".png", ".svg")

_INCHES: Final = (10, 6)


def check_plot() -> None:
    """Raise UsageError where plots cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise UsageError("plot: matplotlib is not installed; `pip install 'sessioner[plot]'` installs it")


def write_plot(path: Path, samples: list[BenchSample]) -> None:
    """Draw the time from sending to the echo: a point for each session and round, and each session's mean.

    The sessions are numbered in the order in which they were opened. Raises OSError.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    answered = [(sample.session, sample.raw * 1e6) for sample in samples if sample.raw is not None]
    sums: dict[int, tuple[float, int]] = {}
    for session, time in answered:
        total, count = sums.get(session, (0.0, 0))
        sums[session] = total + time, count + 1
    figure = Figure(figsize=_INCHES)
    canvas = FigureCanvasSVG(figure) if path.suffix == ".svg" else FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*_columns(answered), ".", markersize=1, color="0.7", label="each round")
    means = [(session, total / count) for session, (total, count) in sorted(sums.items())]
    axes.plot(*_columns(means), ".", markersize=3, label="mean over the rounds")
    axes.set_xlabel("session, in the order of opening")
    axes.set_ylabel("time from sending to the whole echo (us)")
    axes.set_title(f"{len(answered)} echoes verified, {len(samples) - len(answered)} failed")
    axes.legend()
    canvas.print_figure(path, format=path.suffix[1:])


def _columns(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
