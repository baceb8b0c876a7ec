"""The charts of a report as a picture, drawn by matplotlib where that is installed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from common.errors import UsageError
from initiator.reports.charts import Chart, charts_of
from initiator.reports.history import History
from initiator.reports.pictures import check_picture, dress, new_picture, write_picture
from initiator.reports.scales import ruler
from initiator.reports.style import DASHES, LIGHT
from initiator.reports.svg import styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Inches of one chart.
_WIDTH: Final = 7.2
_HEIGHT: Final = 3.7

_TICKS: Final = (8, 5)

# How far the numbers of two marks are from each other at the least, as a share of the axis.
_APART: Final = 0.035


def draw(path: Path, history: History, kind: str | None) -> None:
    """Write a picture of the charts of a kind, or of all, in one column, or in two where there are more than two.

    It takes a second or so, and may be called in a thread. Raises UsageError.
    """
    check_picture(path)
    charts = [chart for chart in charts_of(history) if kind in (None, chart.kind)]
    if not charts:
        raise UsageError(f"plot: there is nothing to draw for `{kind}` so far")
    columns = 1 if len(charts) < 3 else 2
    rows = -(-len(charts) // columns)
    figure = new_picture(_WIDTH * columns, _HEIGHT * rows)
    for number, chart in enumerate(charts, 1):
        _draw_chart(figure.add_subplot(rows, columns, number), chart)
    try:
        write_picture(path, figure)
    except OSError as failure:
        raise UsageError(f"plot: {path} cannot be written: {failure.strerror}") from None


def _draw_chart(axes: "Axes", chart: Chart) -> None:
    """Draw a chart in places from 0 to 1, which the rulers that the page uses too give its values."""
    known = [value for series in chart.series for value in (*series.values, *series.low, *series.high)]
    x = ruler(chart.x, (*chart.at, *(time for time, _ in chart.marks)), _TICKS[0])
    y = ruler(chart.y, known, _TICKS[1])
    across = [x.place(at) for at in chart.at]
    for style, series in styled(chart.series):
        colour = LIGHT[f"s{style}"]
        down = [float("nan") if value is None else y.place(value) for value in series.values]
        axes.plot(
            across,
            down,
            label=series.name,
            color=colour,
            linestyle=_line_style(style),
            linewidth=1.6,
            drawstyle="steps-pre" if series.steps else "default",
            marker="." if len(across) == 1 else None,
        )
        if list(series.low) != list(series.high):
            low, high = ([y.place(value or 0.0) for value in values] for values in (series.low, series.high))
            axes.fill_between(across, low, high, color=colour, alpha=0.22, linewidth=0, step="pre")
    _draw_marks(axes, [x.place(time) for time, _ in chart.marks])
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks([x.place(value) for value, _ in x.ticks], [text for _, text in x.ticks])
    axes.set_yticks([y.place(value) for value, _ in y.ticks], [text for _, text in y.ticks])
    dress(axes, chart.title, chart.x.title, chart.y.title)


def _draw_marks(axes: "Axes", places: Sequence[float]) -> None:
    """Draw a line for each command, and its number where there is room for it."""
    written = -_APART
    for number, place in enumerate(places, 1):
        axes.axvline(place, color=LIGHT["mark"], linewidth=0.7, linestyle=(0, (2, 4)), alpha=0.7)
        if place - written >= _APART:
            axes.text(place, 1.015, str(number), ha="center", fontsize=7, color=LIGHT["mark"])
            written = place


def _line_style(style: int) -> Any:
    """Return the dashes of a style as matplotlib takes them, in widths of a line of about 2."""
    lengths = [float(length) / 2 for length in DASHES[style % len(DASHES)].split()]
    return (0, tuple(lengths)) if lengths else "-"
