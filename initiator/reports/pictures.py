"""Pictures that matplotlib draws where it is installed: whether one can be drawn, how it looks, its file."""

import io
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from common.errors import UsageError
from initiator.reports.style import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FORMATS: Final = (".png", ".svg")

# Inches around a chart, and dots of an inch.
_MARGIN: Final = 0.14
_DOTS: Final = 120


def check_picture(path: Path) -> None:
    """Raise UsageError where the file's name is none of a picture, or none can be drawn; it names no command."""
    if path.suffix not in _FORMATS:
        raise UsageError(f"{path} ends with none of {' or '.join(_FORMATS)}")
    if find_spec("matplotlib") is None:
        raise UsageError("matplotlib is missing; install it with: pip install 'sessioner[plot]'")


def new_picture(width: float, height: float) -> "Figure":
    """Return an empty picture of so many inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # What it says of its caches would go to the terminal, past the prompt.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    layout = ConstrainedLayoutEngine(w_pad=_MARGIN, h_pad=_MARGIN)
    figure = Figure(figsize=(width, height), dpi=_DOTS, layout=layout)
    figure.set_facecolor(LIGHT["card"])
    return figure


def dress(axes: "Axes", title: str, x: str, y: str) -> None:
    """Give what is drawn its titles, a legend, and the look of the page."""
    axes.set_xlabel(x, color=LIGHT["soft"])
    axes.set_ylabel(y, color=LIGHT["soft"])
    axes.set_title(title, loc="left", pad=16, fontsize=11, fontweight="bold", color=LIGHT["text"])
    axes.tick_params(colors=LIGHT["soft"], labelsize=8.5)
    axes.grid(axis="y", color=LIGHT["grid"])
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LIGHT["axis"])
    axes.legend(fontsize=8.5, frameon=False, loc="lower right", bbox_to_anchor=(1, 1.04), ncols=4, borderaxespad=0)


def write_picture(path: Path, figure: "Figure") -> None:
    """Write a picture in the format that the file's name ends with; raises OSError."""
    data = io.BytesIO()
    figure.savefig(data, format=path.suffix.removeprefix("."))
    path.write_bytes(data.getvalue())
