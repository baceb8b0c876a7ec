"""Charts as SVG: paths, axes, marks, and what is told of a place that is pointed at; pure.

Colours, dashes and fonts come from the style sheet of the page: a line of the series n has the classes `line sn`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise, zip_longest
from typing import Final

from initiator.reports.charts import ASKED, Chart, Series, Values
from initiator.reports.scales import Ruler, ruler

# Places that can be pointed at, beside each other.
_PLACES: Final = 120

# The width of a character of a tick or a mark, in units of the drawing.
_CHARACTER: Final = 7.0

# Lines of marks are drawn so far from each other at the least.
_APART: Final = 2.0

# Commands that the text of several marks shows.
_COMMANDS: Final = 8


@dataclass(frozen=True, slots=True)
class Size:
    """The drawing and the margins around the lines in it, in units of about a pixel, and how many ticks fit."""

    name: str
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    ticks: tuple[int, int]

    @property
    def right_end(self) -> float:
        """Where the x axis ends."""
        return self.width - self.right

    @property
    def floor(self) -> float:
        """Where the y axis begins."""
        return self.height - self.bottom


# Room for one across a screen, for two beside each other, or for one across a phone.
BROAD: Final = Size("broad", 1090, 300, 58, 18, 36, 46, (14, 5))
SIZES: Final = (
    Size("wide", 520, 300, 58, 18, 36, 46, (8, 5)),
    Size("narrow", 340, 270, 50, 14, 36, 44, (4, 5)),
)


def svg_of(chart: Chart, size: Size) -> str:
    """Return a drawing."""
    drawing = _Drawing(chart, size)
    label = escape(f"{chart.title}: {', '.join(series.name for series in chart.series)}")
    parts = [
        f'<svg class="chart {size.name}" viewBox="0 0 {size.width:g} {size.height:g}" role="img" aria-label="{label}">',
        *drawing.axes(),
        *drawing.marks(),
        *drawing.bands(),
        *drawing.lines(),
        *drawing.places(),
        "</svg>",
    ]
    return "".join(parts)


def path_of(points: Sequence[tuple[float, float] | None], *, steps: bool = False) -> str:
    """Return the data of a path through points; None leaves a gap, and a point between two gaps becomes a dot.

    With `steps` the path goes up or down before it goes across.
    """
    parts: list[str] = []
    previous = None
    for point, following in zip_longest(points, points[1:]):
        if point:
            x, y = point
            if previous:
                parts.append(f"V{_short(y)}H{_short(x)}" if steps else f"L{_short(x)} {_short(y)}")
            else:
                parts.append(f"M{_short(x)} {_short(y)}" + ("" if following else "h0"))
        previous = point
    return "".join(parts)


class _Drawing:
    """A chart at a size."""

    def __init__(self, chart: Chart, size: Size) -> None:
        self._chart = chart
        self._size = size
        values = [value for series in chart.series for value in (*series.values, *series.low, *series.high)]
        times = (*chart.at, *(time for time, _ in chart.marks))
        self._x: Ruler = ruler(chart.x, times, size.ticks[0])
        self._y: Ruler = ruler(chart.y, values, size.ticks[1])

    def axes(self) -> Iterator[str]:
        """Yield a line and a text for each tick, and the titles."""
        size = self._size
        for value, text in self._y.ticks:
            y = _short(self._down(value))
            yield f'<path class="grid" d="M{size.left:g} {y}H{size.right_end:g}"/>'
            yield f'<text class="tick" x="{size.left - 6:g}" y="{y}" dy="0.35em" text-anchor="end">{text}</text>'
        for value, text, anchor in self._spaced():
            x = _short(self._across(value))
            yield f'<path class="tickmark" d="M{x} {size.floor:g}v4"/>'
            yield f'<text class="tick" x="{x}" y="{size.floor + 16:g}" text-anchor="{anchor}">{text}</text>'
        yield f'<path class="axis" d="M{size.left:g} {size.floor:g}H{size.right_end:g}"/>'
        middle = (size.left + size.right_end) / 2
        yield (
            f'<text class="title" x="{middle:g}" y="{size.height - 8:g}" text-anchor="middle">'
            f"{escape(self._chart.x.title)}</text>"
        )
        yield f'<text class="title" x="2" y="11">{escape(self._chart.y.title)}</text>'

    def marks(self) -> Iterator[str]:
        """Yield a line for each command, and its number above, or the numbers of several that are too close."""
        size, marks = self._size, self._chart.marks
        drawn = -_APART
        for time, _ in marks:
            x = self._across(time)
            if x - drawn >= _APART:
                yield f'<path class="mark" d="M{_short(x)} {size.top:g}V{size.floor:g}"/>'
                drawn = x
        for first, last in self._groups():
            x = self._across(marks[first][0])
            told = [f"{self._chart.x.shown(time)}  {text}" for time, text in marks[first : last + 1]]
            if len(told) > _COMMANDS:
                told[_COMMANDS:] = [f"and {len(told) - _COMMANDS} more"]
            yield (
                f'<g class="number"><title>{escape(chr(10).join(told))}</title>'
                f'<text x="{_short(x)}" y="{size.top - 9:g}" text-anchor="middle">{_numbers(first, last)}</text></g>'
            )

    def bands(self) -> Iterator[str]:
        """Yield the areas between what was lowest and highest, where these differ."""
        for style, series in styled(self._chart.series):
            if list(series.low[1:]) != list(series.high[1:]):
                there, back = (self._stretches(values) for values in (series.high, series.low))
                yield f'<path class="band s{style}" d="{path_of([*there, *back[::-1]])}Z"/>'

    def lines(self) -> Iterator[str]:
        """Yield the path of each series."""
        for style, series in styled(self._chart.series):
            yield f'<path class="line s{style}" d="{path_of(self._points(series.values), steps=series.steps)}"/>'

    def places(self) -> Iterator[str]:
        """Yield strips beside each other that tell the values at their place when they are pointed at."""
        chart, size = self._chart, self._size
        every = -(-len(chart.at) // _PLACES)
        indices = range(0, len(chart.at), max(1, every))
        across = [self._across(chart.at[index]) for index in indices]
        middles = ((one + other) / 2 for one, other in pairwise(across))
        edges = [size.left, *middles, size.right_end]
        for number, index in enumerate(indices):
            told = [chart.x.shown(chart.at[index])]
            dots = []
            for style, series in styled(chart.series):
                value = series.values[index]
                if value is not None:
                    told.append(f"{series.name}: {chart.y.shown(value)}")
                    x, y = _short(across[number]), _short(self._down(value))
                    dots.append(f'<circle class="s{style}" cx="{x}" cy="{y}" r="3"/>')
            left, width = edges[number], max(0.0, edges[number + 1] - edges[number])
            yield (
                f'<g class="place"><title>{escape(chr(10).join(told))}</title>'
                f'<rect x="{_short(left)}" y="{size.top:g}" width="{_short(width)}"'
                f' height="{size.floor - size.top:g}"/>{"".join(dots)}</g>'
            )

    def _across(self, value: float) -> float:
        return self._size.left + self._x.place(value) * (self._size.right_end - self._size.left)

    def _down(self, value: float) -> float:
        return self._size.floor - self._y.place(value) * (self._size.floor - self._size.top)

    def _points(self, values: Values) -> list[tuple[float, float] | None]:
        places = zip(self._chart.at, values, strict=True)
        return [None if value is None else (self._across(at), self._down(value)) for at, value in places]

    def _stretches(self, values: Values) -> list[tuple[float, float]]:
        """Return both ends of the stretch before each place but the first, at the value of that place."""
        across = [self._across(at) for at in self._chart.at]
        return [
            (x, self._down(value or 0.0))
            for ends, value in zip(pairwise(across), values[1:], strict=True)
            for x in ends
        ]

    def _spaced(self) -> Iterator[tuple[float, str, str]]:
        """Yield the ticks of the x axis that do not run into each other, and how each is aligned."""
        end = 0.0
        for value, text in self._x.ticks:
            x, width = self._across(value), len(text) * _CHARACTER
            anchor = "end" if x + width / 2 > self._size.width else "middle"
            left = x - (width if anchor == "end" else width / 2)
            if left >= end:
                yield value, text, anchor
                end = left + width + _CHARACTER

    def _groups(self) -> Iterator[tuple[int, int]]:
        """Yield the first and the last index of marks whose numbers are written as one."""
        marks = self._chart.marks
        first = 0
        for index in range(1, len(marks) + 1):
            if index < len(marks):
                room = self._across(marks[index][0]) - self._across(marks[first][0])
                if room < (len(_numbers(first, index - 1)) + 2) * _CHARACTER:
                    continue
            yield first, index - 1
            first = index


def styled(series: Sequence[Series]) -> Iterator[tuple[int, Series]]:
    """Yield each with the number of its style: 0 for what was asked for, the others in turn."""
    style = 0
    for each in series:
        if each.name == ASKED:
            yield 0, each
        else:
            style += 1
            yield style, each


def _numbers(first: int, last: int) -> str:
    return f"{first + 1}" if first == last else f"{first + 1}\N{EN DASH}{last + 1}"


def _short(value: float) -> str:
    """Return a coordinate to a tenth."""
    return f"{value:.1f}".removesuffix(".0")
